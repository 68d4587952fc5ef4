"""Sessions that end without use, after `STEADY_IDLE_MINUTES`, and in any case at the age of
`SESSION_COOKIE_AGE`.

The database row expires, while the cookie lasts longer. So a user who only writes over a WebSocket, where no
cookie can be sent, stays logged in. The session monitor reads the same row and closes live pages after its
end.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.base_session import AbstractBaseSession
from django.contrib.sessions.models import Session
from django.utils import timezone

from chat.models.prepared import Prepared

_session = Prepared(
    lambda key, now: Session.objects.filter(session_key=key, expire_date__gt=now), str, datetime
)

_BEGAN = "_began"  # seconds since 1970, in the data of a session


class SessionStore(DatabaseStore):
    """`expires_at` is the expiry of the row that was read."""

    expires_at: datetime | None = None

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def cycle_key(self) -> None:
        """Begins anew at a log-in or a new password: the session before it may be old."""
        self.pop(_BEGAN, None)
        super().cycle_key()

    def create_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        data.setdefault(_BEGAN, timezone.now().timestamp())
        row = super().create_model_instance(data)
        row.expire_date = min(row.expire_date, _absolute_end(data))
        if idle := idle_time():
            row.expire_date = min(row.expire_date, timezone.now() + idle)
        return row

    def load(self) -> dict[str, Any]:
        """Marks a session from before this rule, which has no beginning, as changed: it is saved with the
        response and begins then."""
        data: dict[str, Any] = super().load()
        if data and _BEGAN not in data:
            self.modified = True
        return data

    def _get_session_from_db(self) -> Session | None:
        row = _session.first(self.session_key or "", timezone.now())
        if row is None:
            self._session_key = None
        self.expires_at = row.expire_date if row else None
        return row


def idle_time() -> timedelta | None:
    """Returns the time without use after which a session ends. None means that only its age ends it."""
    return timedelta(minutes=settings.STEADY_IDLE_MINUTES) if settings.STEADY_IDLE_MINUTES else None


def is_worth_extending(expires_at: datetime | None) -> bool:
    """Returns whether a tenth of the idle time has passed since the last write, so that not every request
    writes."""
    idle = idle_time()
    return bool(idle and expires_at and expires_at - timezone.now() < idle * 0.9)


def extend(session_key: str) -> None:
    """Records a use of this session. A session that has ended stays ended."""
    now = timezone.now()
    if idle := idle_time():
        used = Session.objects.filter(session_key=session_key, expire_date__gt=now)
        for row in used.filter(expire_date__lt=now + idle * 0.9):
            end = _absolute_end(SessionStore().decode(row.session_data))
            used.update(expire_date=min(now + idle, end))


def _absolute_end(data: dict[str, Any]) -> datetime:
    """Returns the end of a session with this data, however much it is used."""
    began = data.get(_BEGAN, timezone.now().timestamp())
    return datetime.fromtimestamp(began, UTC) + timedelta(seconds=settings.SESSION_COOKIE_AGE)
