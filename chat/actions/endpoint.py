"""What administrators do with endpoints, other than editing a row."""

from __future__ import annotations

import logging
from datetime import datetime

from django.conf import settings
from django.db.models.functions import Now

from chat.models import Endpoint, PeriodicTask, ToolServer
from chatproject.crypto import UnreadableSecretError, with_current_key

_READ_AGAIN = "provider-file"

logger = logging.getLogger(__name__)


def read_provider_file() -> str:
    """Reads the file of providers again, here at once and in all other processes within some seconds. Returns
    the reason if it cannot be read."""
    settings.CHAT_PROVIDER_FILE.read()
    PeriodicTask.objects.update_or_create(name=_READ_AGAIN, defaults={"due_at": Now()})
    error: str = settings.CHAT_PROVIDER_FILE.error
    return error


def read_requested_at() -> datetime | None:
    """Returns when an administrator last asked all processes to read the file again."""
    return PeriodicTask.objects.filter(name=_READ_AGAIN).values_list("due_at", flat=True).first()


def use_current_key() -> int:
    """Encrypts the secrets of endpoints and of tool servers with the present `SECRET_KEY`, after which its
    fallback can be removed. Returns how many were changed. A row that is edited meanwhile keeps the edited
    secret."""
    endpoints, servers = Endpoint.objects.exclude(encrypted=""), ToolServer.objects.exclude(secret_headers="")
    changed = 0
    for rows, column in ((endpoints, "encrypted"), (servers, "secret_headers")):
        for key, slug, stored in rows.values_list("pk", "slug", column):
            try:
                renewed = with_current_key(stored)
            except UnreadableSecretError:
                logger.error("The key of %s cannot be read with this SECRET_KEY. Type it again.", slug)
                continue
            if renewed != stored:
                changed += rows.filter(**{"pk": key, column: stored}).update(**{column: renewed})
    return changed
