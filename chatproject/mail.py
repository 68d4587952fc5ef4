"""Mail on an installation without a mail server: it is not sent, and the log says so."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

logger = logging.getLogger("chat.mail")


class Unsent(BaseEmailBackend):
    """Logs the subject and the number of receivers only: a body may contain a link that logs a user in."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            logger.warning(
                "Mail to %d receivers was not sent, because EMAIL_URL is not set: %s",
                len(message.recipients()),
                message.subject,
            )
        return 0
