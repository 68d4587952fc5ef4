"""The pages of a server before its first administrator."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from chat.actions.first_admin import ensure_first_admin
from chat.models import User

pytestmark = pytest.mark.django_db
WORDS = "This server has no administrator yet. To become the administrator, open the link"


@pytest.mark.parametrize("url", ["/", "/settings/", "/accounts/login/"])
def test_before_the_first_administrator_each_page_says_what_to_do(client: Client, url: str) -> None:
    ensure_first_admin()
    page = client.get(url, follow=True).content.decode()
    assert WORDS in page
    assert 'name="password"' not in page, "there is nobody who could log in"


def test_after_the_first_user_exists_the_page_is_a_log_in(
    client: Client, make_user: Callable[..., User]
) -> None:
    ensure_first_admin()
    make_user("ada@example.org")
    page = client.get("/", follow=True).content.decode()
    assert WORDS not in page
    assert 'name="password"' in page
