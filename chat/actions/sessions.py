"""Lists and ends the sessions of a user."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from allauth.usersessions.models import UserSession
from django.contrib.auth import HASH_SESSION_KEY, login
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils import timezone

from chat.access import NotFoundError
from chat.actor import SessionClaim, holding
from chat.models import User
from chat.translatable import translatable as _


@dataclass(frozen=True, slots=True)
class LogIn:
    """`device` is the name of the browser and of the operating system."""

    id: int
    address: str
    device: str
    since: datetime
    is_current: bool


def log_in(request: HttpRequest, user: User) -> None:
    """Logs in a user who came by a link and adds the session to the list. allauth adds only its own
    log-ins."""
    login(request, user)
    UserSession.objects.create_from_request(request)


def log_ins_of(user: User, session_key: str | None) -> list[LogIn]:
    """Returns the current sessions of this user, the newest first."""
    return [
        LogIn(row.pk, row.ip, _device(row.user_agent), row.created_at, row.session_key == session_key)
        for row in _alive(user)
    ]


def end_log_in(user: User, log_in_id: int) -> None:
    """Ends one of this user's sessions. Its open pages close within seconds. Raises `NotFoundError`."""
    row = UserSession.objects.filter(user=user, pk=log_in_id).first()
    if row is None:
        raise NotFoundError(_("This session has ended already."))
    row.end()


def end_other_log_ins(user: User, session_key: str | None) -> int:
    """Ends all of this user's sessions except this one. Returns the number of sessions that were still
    valid."""
    ended = len([row for row in _alive(user) if row.session_key != session_key])
    for row in UserSession.objects.filter(user=user).exclude(session_key=session_key):
        row.end()
    return ended


def _alive(user: User) -> list[UserSession]:
    """Returns the sessions that neither a time limit nor a new password has ended."""
    rows = list(UserSession.objects.filter(user=user).order_by("-created_at"))
    keys = [row.session_key for row in rows]
    sessions = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    claims = [
        SessionClaim(user.pk, session.session_key, session.get_decoded().get(HASH_SESSION_KEY, ""))
        for session in sessions
    ]
    held = holding(claims, [user])
    alive = {claim.session_key for claim in claims if claim in held}
    return [row for row in rows if row.session_key in alive]


_BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
_SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS": "macOS",
    "Linux": "Linux",
}  # in this order: an Android's name contains "Linux", an iPhone's "Mac OS"


def _device(user_agent: str) -> str:
    """Returns `Firefox, Linux`; the unchanged string if it is unknown, cut to 60 characters."""
    names = [
        next((name for mark, name in known.items() if mark in user_agent), "")
        for known in (_BROWSERS, _SYSTEMS)
    ]
    return ", ".join(filter(None, names)) or user_agent[:60]
