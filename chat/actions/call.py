"""Calls of programs to models: who may make one, and what it used."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

from django.conf import settings
from django.db import DataError, IntegrityError, transaction

from chat.access import NoSuchModelError, model_named
from chat.actions.api_token import digest_of, use_token
from chat.actions.call_chat import Answer, make_chat
from chat.actions.queue import check_running_limit, lock_user, too_many_running
from chat.actor import Actor
from chat.generation.calls import Call, usage_entry
from chat.generation.lease import running_of
from chat.generation.running_calls import Permit
from chat.live.process import process_name
from chat.models import Generation, Preferences, RunningCall, Scope, UsageEntry, User
from chat.runtime import current
from chat.translatable import translatable as _

logger = logging.getLogger(__name__)


def recent_permit(secret: str, name: str) -> Permit | None:
    """Returns the permit for another call, if all that it depends on was read a moment ago: such a call needs
    no unit of work. With several processes there is none, because the call is counted in the database."""
    permit = _recent(secret, name)
    if permit is None or not settings.SQLITE:
        return None
    # Replies that have ended meanwhile still count in the permit.
    running = permit.replies + current().calls.running_of(permit.actor.user.pk)
    return permit if running < settings.CHAT_RUNNING_PER_PERSON else None


def begin_call(secret: str, name: str, call_id: UUID) -> Permit:
    """Returns the permit for one call to the model of this name, with this token. Raises `LoggedOutError`,
    `ScopeError`, `NoSuchModelError`, `LimitReachedError`. Where there may be other processes, the call counts
    from now on, until `Calls.counting` ends. One unit of work."""
    permit = _recent(secret, name)
    if permit is not None and settings.SQLITE:
        return replace(permit, replies=running_of(permit.actor.user.pk))
    if permit is None:
        permits = current().calls.permits
        version = permits.version()
        permit = _permit(secret, name)
        permits.put((digest_of(secret), name), permit, version)
    user = permit.actor.user
    if settings.SQLITE:
        return permit
    with transaction.atomic():
        lock_user(user)
        check_running_limit(user, 1)
        RunningCall.objects.bulk_create([RunningCall(id=call_id, user=user, process=process_name())])
    return permit


def _permit(secret: str, name: str) -> Permit:
    actor = use_token(secret)
    actor.require(Scope.GATEWAY)
    model = model_named(actor.user, name)
    endpoint = model.endpoint.config()
    if endpoint is None:
        raise NoSuchModelError(_("This model cannot be used. Choose another one from the list."))
    keeps = Preferences.objects.filter(user=actor.user, keeps_calls=True).exists()
    replies = running_of(actor.user.pk) if settings.SQLITE else 0
    return Permit(actor, model.target, endpoint, keeps, replies)


def _recent(secret: str, name: str) -> Permit | None:
    permit = current().calls.permits.get((digest_of(secret), name))
    if permit is None or permit.actor.token is None or permit.actor.token.has_expired:
        return None
    return permit


@contextmanager
def counted(permit: Permit, call_id: UUID) -> Iterator[None]:
    """Counts one more call of the user inside of the block. Raises `LimitReachedError` if as many replies and
    calls run as one person may have. To be entered on the event loop: nothing comes between the check and the
    count."""
    calls, user_id = current().calls, permit.actor.user.pk
    with calls.counting(user_id, call_id):
        if settings.SQLITE and permit.replies + calls.running_of(user_id) > settings.CHAT_RUNNING_PER_PERSON:
            raise too_many_running()
        yield


def book_call(actor: Actor, call: Call, *, api: str, answer: Answer | None = None) -> UsageEntry:
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
            return make_chat(user, call, entry, answer)
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
