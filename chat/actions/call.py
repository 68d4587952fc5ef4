"""Calls of programs to models: who may make one, and what it used."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.conf import settings
from django.db import DataError, IntegrityError, transaction

from chat.access import NoSuchModelError, model_named
from chat.actions.errors import LimitReachedError
from chat.actions.kept_call import Answer, keep
from chat.actor import Actor
from chat.generation.calls import Call, usage_entry
from chat.generation.lease import running_of
from chat.models import ChatModel, Generation, Preferences, UsageEntry, User
from chat.providers.base import EndpointConfig
from chat.runtime import current
from chat.translatable import translatable as _

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CalledModel:
    """A model that may be called now. `replies` is how many replies of the user run, `keeps` whether the user
    wants a chat made of each call."""

    model: ChatModel
    endpoint: EndpointConfig
    replies: int
    keeps: bool


def callable_model(actor: Actor, name: str) -> CalledModel:
    """Returns the model of this name for a call. Raises `NoSuchModelError`."""
    model = model_named(actor.user, name)
    endpoint = model.endpoint.config()
    if endpoint is None:
        raise NoSuchModelError(_("This model cannot be used. Choose another one from the list."))
    keeps = Preferences.objects.filter(user=actor.user, keeps_calls=True).exists()
    return CalledModel(model, endpoint, running_of(actor.user.pk), keeps)


@contextmanager
def counted(actor: Actor, chosen: CalledModel) -> Iterator[None]:
    """Counts one more call of the user inside of the block. Raises `LimitReachedError` if as many replies and
    calls run as one person may have; calls of other processes are not counted. To be entered on the event
    loop: nothing comes between the check and the count."""
    calls = current().calls
    if chosen.replies + calls.running_of(actor.user.pk) >= settings.CHAT_RUNNING_PER_PERSON:
        raise LimitReachedError(
            _("You have as many replies running as one person may have. Wait for one, or stop one.")
        )
    with calls.counting(actor.user.pk):
        yield


def book(actor: Actor, call: Call, *, api: str, answer: Answer | None = None) -> UsageEntry:
    """Adds the usage entry of an ended call, once, and makes a chat of the call if `answer` is to be kept.
    Raises DatabaseError."""
    entry = usage_entry(
        call, user_id=actor.user.pk, token_id=actor.token.pk if actor.token else None, api=api
    )
    with transaction.atomic():
        if answer is not None:
            entry.generation = _kept(actor.user, call, entry, answer)
        UsageEntry.objects.bulk_create([entry], ignore_conflicts=True)
        transaction.on_commit(lambda: _log(entry))
    return entry


def _kept(user: User, call: Call, entry: UsageEntry, answer: Answer) -> Generation | None:
    """Returns the answer's generation; None if the texts cannot be stored, which must not undo the entry."""
    try:
        with transaction.atomic():
            return keep(user, call, entry, answer)
    except (DataError, IntegrityError, ValueError):
        logger.exception("Call %s was not kept as a chat: the database refuses its texts.", call.id)
        return None


def _log(entry: UsageEntry) -> None:
    """Logs one line for each call, whatever its outcome."""
    facts = {
        "call_id": str(entry.pk),
        "api": entry.api,
        "model": entry.model_label,
        "outcome": entry.status,
        "error": entry.error_code,
        "seconds_to_first_token": entry.seconds_to_first_token,
        "seconds": entry.seconds,
        "input_tokens": entry.input_tokens,
        "output_tokens": entry.output_tokens,
        "tokens_estimated": entry.estimated,
    }
    logger.info(
        "Call ended: %s, model %s, %s s in all, %s tokens in, %s out%s",
        " ".join(filter(None, (entry.status, entry.error_code))),
        entry.model_label,
        "?" if entry.seconds is None else f"{entry.seconds:.2f}",
        *("?" if value is None else value for value in (entry.input_tokens, entry.output_tokens)),
        " (estimated)" if entry.estimated else "",
        extra=facts,
    )
