"""Without a mail server nothing fails and nothing leaks."""

from __future__ import annotations

import logging

import pytest
from django.core.mail import EmailMessage, mailers
from pytest_django.fixtures import Settings


def test_unsent_mail_is_logged_without_its_body(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.MAILERS = {"default": {"BACKEND": "chatproject.mail.Unsent"}}
    message = EmailMessage("Reset your password", "https://chat.example/secret-link", to=["ada@example.org"])
    with caplog.at_level(logging.WARNING, logger="chat.mail"):
        assert mailers.default.send_messages([message]) == 0
    assert "Reset your password" in caplog.text
    assert "EMAIL_URL" in caplog.text
    assert "secret-link" not in caplog.text
    assert "ada@" not in caplog.text
