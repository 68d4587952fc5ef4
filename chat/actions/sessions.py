"""Where a person is logged in, and ending that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.utils import timezone

from chat.access import NotFoundError
from chat.models import User


@dataclass(frozen=True, slots=True)
class LogIn:
    """`device` is the browser and the system as it names them."""

    id: int
    address: str
    device: str
    since: datetime
    is_current: bool


def log_ins_of(user: User, session_key: str | None) -> list[LogIn]:
    """The sessions in which this person is logged in now, the newest first."""
    rows = UserSession.objects.filter(user=user).order_by("-created_at")
    alive = set(
        Session.objects.filter(
            session_key__in=rows.values("session_key"), expire_date__gt=timezone.now()
        ).values_list("session_key", flat=True)
    )
    return [
        LogIn(row.pk, row.ip, _device(row.user_agent), row.created_at, row.session_key == session_key)
        for row in rows
        if row.session_key in alive
    ]


def end_log_in(user: User, log_in_id: int) -> None:
    """Ends one of this person's sessions; open pages of it close within seconds. Raises `NotFoundError`."""
    row = UserSession.objects.filter(user=user, pk=log_in_id).first()
    if row is None:
        raise NotFoundError("This log-in has ended already.")
    row.end()


def end_other_log_ins(user: User, session_key: str | None) -> int:
    """Ends all of this person's sessions but this one; returns how many."""
    rows = list(UserSession.objects.filter(user=user).exclude(session_key=session_key))
    for row in rows:
        row.end()
    return len(rows)


_BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
_SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS": "macOS",
    "Linux": "Linux",
}  # in this order: an Android's name holds "Linux", an iPhone's "Mac OS"


def _device(user_agent: str) -> str:
    """`Firefox, Linux`; what is not known as it is, in at most 60 characters."""
    names = [
        next((name for mark, name in known.items() if mark in user_agent), "")
        for known in (_BROWSERS, _SYSTEMS)
    ]
    return ", ".join(filter(None, names)) or user_agent[:60]
