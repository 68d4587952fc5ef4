"""The environment is read strictly: invalid values are refused with a message and without secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from chatproject import env


@pytest.mark.parametrize("value", ["1", "true", "Yes", " ON "])
def test_true_has_its_usual_spellings(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("X", value)
    assert env.boolean("X", False) is True


@pytest.mark.parametrize("value", ["0", "false", "No", "off"])
def test_false_has_its_usual_spellings(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("X", value)
    assert env.boolean("X", True) is False


@pytest.mark.parametrize("value", ["treu", "2", "-", "none"])
def test_a_mistyped_boolean_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("X", value)
    with pytest.raises(ImproperlyConfigured, match="X="):
        env.boolean("X", True)


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", " ")
    assert env.text("X", "default") == "default"
    assert env.boolean("X", True) is True
    assert env.integer("X", 3) == 3
    assert env.words("X", "a b") == ["a", "b"]


def test_a_list_takes_commas_and_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "a.example, b.example c.example,")
    assert env.words("X") == ["a.example", "b.example", "c.example"]


@pytest.mark.parametrize("value", ["-1", "11", "ten", "nan", "inf", "1e400"])
def test_a_number_outside_its_bounds_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("X", value)
    with pytest.raises(ImproperlyConfigured, match="from 0 to 10"):
        env.number("X", 1, least=0, most=10)


@pytest.mark.parametrize("value", ["abc", "inf", "nan", "-1"])
def test_a_number_without_an_upper_bound_is_refused_without_naming_one(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("X", value)
    for read in (env.number, env.integer):
        with pytest.raises(ImproperlyConfigured, match=r"must be a number of at least 0\.$"):
            read("X", 1)


@pytest.mark.parametrize(
    "value",
    ["foo", "localhost:8080", "//host/v1", "ftp://host", "http://", "http://host:port", "http://[::1"],
)
def test_a_wrong_web_address_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("X", value)
    with pytest.raises(ImproperlyConfigured, match="X is no web address"):
        env.web_address("X")


@pytest.mark.parametrize(
    "value", ["https://gateway.example.org/v1", "http://[::1]:8080", "http://user:p@host"]
)
def test_a_web_address_is_taken(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("X", value)
    assert env.web_address("X") == value


@pytest.mark.parametrize("value", ["localhost", "hidden@host", "http://:hidden@host", "redis://:hidden@h:x"])
def test_a_wrong_address_of_a_redis_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("X", value)
    with pytest.raises(ImproperlyConfigured, match="X is no address of a Redis") as raised:
        env.redis("X")
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("value", ["redis://localhost", "rediss://:p@host:6380/1", "unix:///run/redis.sock"])
def test_an_address_of_a_redis_is_taken(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("X", value)
    assert env.redis("X") == value


def test_a_fraction_is_not_an_integer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "1.5")
    with pytest.raises(ImproperlyConfigured, match="whole"):
        env.integer("X", 1)


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("hidden\n")
    monkeypatch.setenv("X_FILE", str(path))
    assert env.secret("X") == "hidden"


def test_a_secret_given_twice_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("X", "hidden")
    monkeypatch.setenv("X_FILE", str(tmp_path / "key"))
    with pytest.raises(ImproperlyConfigured, match="both set") as raised:
        env.secret("X")
    assert "hidden" not in str(raised.value)


def test_a_missing_secret_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("X_FILE", str(tmp_path / "none"))
    with pytest.raises(ImproperlyConfigured, match="X_FILE names a file that cannot be read"):
        env.secret("X")


def test_a_word_outside_its_choice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "loud")
    with pytest.raises(ImproperlyConfigured, match="INFO, WARNING"):
        env.choice("X", "INFO", ("INFO", "WARNING"))


@pytest.mark.parametrize("value", ["Mars/Olympus", "../etc/passwd", "/etc/localtime"])
def test_an_unknown_time_zone_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("X", value)
    with pytest.raises(ImproperlyConfigured, match="time zone"):
        env.time_zone("X", "UTC")


@pytest.mark.parametrize("value", ["mysql://u:hidden@h/db", "nonsense", "postgres://u:hidden@h:port/db"])
def test_another_database_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("X", value)
    with pytest.raises(ImproperlyConfigured, match="postgres://") as raised:
        env.database("X", "")
    assert "hidden" not in str(raised.value)


def test_a_database_address_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "postgres://u:p%40ss@h:5433/db")
    config = env.database("X", "")
    assert (config["ENGINE"], config["PASSWORD"], config["PORT"]) == (
        "django.db.backends.postgresql",
        "p@ss",
        5433,
    )


def test_mail_has_a_server_or_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.mailer("X") == {"BACKEND": "chatproject.mail.Unsent"}
    monkeypatch.setenv("X", "smtp://u:p%2Fw@mail.example")
    options = env.mailer("X")["OPTIONS"]
    assert (options["host"], options["port"], options["password"]) == ("mail.example", 587, "p/w")
    assert (options["use_tls"], options["use_ssl"]) == (True, False)
    monkeypatch.setenv("X", "smtps://mail.example")
    options = env.mailer("X")["OPTIONS"]
    assert (options["port"], options["use_tls"], options["use_ssl"]) == (465, False, True)


@pytest.mark.parametrize("value", ["mail.example", "http://mail.example", "smtp://", "smtp://h:port"])
def test_a_wrong_mail_address_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("X", value)
    with pytest.raises(ImproperlyConfigured, match="smtp://"):
        env.mailer("X")
