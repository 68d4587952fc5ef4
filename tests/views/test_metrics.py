"""The metrics are shown to Prometheus and to nobody else."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

TOKEN = "a token that nobody guesses"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def token(settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN


@pytest.fixture
def addresses(settings: Settings) -> None:
    settings.METRICS_ADDRESSES = [ip_network("10.1.0.0/16"), ip_network("::1")]


@pytest.mark.django_db
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}])
def test_without_a_configuration_there_are_no_metrics(
    client: Client, administrator: object, headers: dict[str, str]
) -> None:
    assert client.get("/metrics", headers=headers).status_code == 404
    client.force_login(administrator)  # type: ignore[arg-type]
    assert client.get("/metrics", headers=headers).status_code == 404


@pytest.mark.django_db
@pytest.mark.usefixtures("token")
def test_the_token_opens_them_without_a_query(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        answer = client.get("/metrics", headers=BEARER)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=")
    assert "no-store" in answer["Cache-Control"]
    names = {family.name for family in text_string_to_metric_families(answer.content.decode())}
    assert {"steady_running_replies", "steady_replies", "process_cpu_seconds"} <= names
    assert client.post("/metrics", headers=BEARER).status_code == 405


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer tökén"]
)
def test_any_other_token_is_refused(client: Client, given: str) -> None:
    answer = client.get("/metrics", headers={"Authorization": given} if given else {})
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert b"steady_" not in answer.content


@pytest.mark.usefixtures("addresses")
def test_an_address_of_the_list_reads_them_and_no_other_does(client: Client) -> None:
    expected = {
        "10.1.2.3": 200,
        "::ffff:10.1.2.3": 200,
        "::1": 200,
        "10.2.0.1": 403,
        "127.0.0.1": 403,
        "fe80::1": 403,
        "": 403,
        "unix:": 403,
    }
    found = {
        address: client.get("/metrics", REMOTE_ADDR=address, headers=BEARER).status_code
        for address in expected
    }
    assert found == expected


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via"]
)
def test_a_proxy_on_a_listed_machine_opens_them_to_nobody(client: Client, header: str) -> None:
    assert client.get("/metrics", REMOTE_ADDR="::1", headers={header: "10.1.2.3"}).status_code == 403


@pytest.mark.usefixtures("addresses", "token")
def test_with_a_token_and_addresses_both_are_required(client: Client) -> None:
    assert client.get("/metrics", REMOTE_ADDR="10.1.2.3").status_code == 401
    assert client.get("/metrics", REMOTE_ADDR="10.2.0.1", headers=BEARER).status_code == 403
    assert client.get("/metrics", REMOTE_ADDR="10.1.2.3", headers=BEARER).status_code == 200


@pytest.mark.django_db
@pytest.mark.usefixtures("token")
def test_a_process_answers_by_any_name_and_without_tls(client: Client, settings: Settings) -> None:
    """Prometheus asks each container by its address."""
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_HOSTS = ["chat.example.org"]
    assert client.get("/metrics", headers={"Host": "172.18.0.7:8000", **BEARER}).status_code == 200
    assert client.get("/healthz", headers={"Host": "172.18.0.7:8000"}).status_code == 400
