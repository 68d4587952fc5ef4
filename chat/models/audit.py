"""The audit record of administration: who read, searched or erased conversations, who created log-in links
and API tokens, whose rights changed. Entries are only added. They outlive the people whom they name.

The seal of each entry is a keyed hash of its content and of the previous seal. So `manage.py audit verify`
finds an entry that was changed, removed, added or moved in the database without the secret key. Entries
removed at the end are found only with a seal that was noted elsewhere; the log contains each seal.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection, models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.conversation import Conversation
from chat.models.user import User

WORDS_LENGTH = 200
READ_LASTS = timedelta(hours=12)  # the pictures of an open transcript are loaded when they are scrolled to
type Change = tuple[str, Any, Any]  # what, before, after: text, or true or false

logger = logging.getLogger(__name__)
_LOCK = 0x5374_6561_6479_41  # an arbitrary number of our own: "SteadyA"


@dataclass
class Watch:
    """One request of administrators, whose queries `chat.admin.guard` watches."""

    path: str
    recorded: bool = False


watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


def was_read(conversation_id: UUID, reader: User) -> bool:
    """Returns whether the record says that this user has read the conversation in the last hours."""
    since = timezone.now() - READ_LASTS
    own = TranscriptRead.objects.filter(conversation_id=conversation_id, reader=reader, at__gte=since)
    return own.filter(how=TranscriptRead.How.READ).exists()


def recorded() -> None:
    """Lets this request read texts from now on. The caller has added its entry, or adds it in any case."""
    if current := watch.get():
        current.recorded = True


class TranscriptRead(models.Model):
    """One entry of the audit record. Data about people is copied. An administrator who acted cannot be
    deleted, only deactivated. `details` is a list of `Change` as JSON. `number` counts the sealed entries
    from 1, without a gap; entries of releases without seals have none."""

    class How(models.TextChoices):
        READ = "read", _("Read")
        EXPORTED = "exported", _("Exported")
        SEARCHED = "searched", _("Searched")
        TITLES = "titles", _("Viewed titles")
        ERASED = "erased", _("Erased")
        LINK = "link", _("Created a log-in link")
        LINK_USED = "used", _("Used a log-in link")
        ADDED = "added", _("Added a person")
        CHANGED = "changed", _("Changed a person")
        ACTIVE = "active", _("Activated or deactivated a person")
        RIGHTS = "rights", _("Changed rights")
        FACTOR = "factor", _("Removed a second factor")
        DELETED = "deleted", _("Deleted a person")
        GROUP = "group", _("Changed a group")
        TOKEN = "token", _("Created an API token")
        REVOKED = "revoked", _("Revoked an API token")
        SHARED = "shared", _("Created a share link")
        UNSHARED = "unshared", _("Revoked a share link")
        SETTINGS = "settings", _("Changed the server settings")

    number = models.PositiveBigIntegerField(_("number"), null=True, unique=True, editable=False)
    reader = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    reader_email = models.EmailField(_("who"))
    owner = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    owner_email = models.EmailField(_("person affected"), blank=True)
    conversation_id = models.UUIDField(_("chat"), db_index=True, null=True)
    words = models.CharField(_("searched for"), max_length=WORDS_LENGTH, blank=True)
    found = models.PositiveIntegerField(_("found"), null=True)
    how = models.CharField(_("what"), max_length=8, choices=How)
    details = models.TextField(_("details"), blank=True, db_default="")
    at = models.DateTimeField(_("time"), default=timezone.now, db_index=True)
    seal = models.CharField(_("seal"), max_length=64, blank=True, db_default="", editable=False)

    class Meta:
        ordering = ["-at", "-id"]
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")

    def __str__(self) -> str:
        return f"{self.number}: {self.reader_email} {self.get_how_display()} {self.owner_email}".strip()

    @classmethod
    def of(
        cls, conversation: Conversation, reader: User, how: How, changes: Iterable[Change] = ()
    ) -> TranscriptRead:
        """Returns an unsaved entry. The caller has selected the conversation's owner with it."""
        return cls.of_person(conversation.owner, reader, how, changes, conversation_id=conversation.pk)

    @classmethod
    def of_search(cls, words: str, found: int, reader: User) -> TranscriptRead:
        """Returns an unsaved entry for a search for `words` with `found` results."""
        words = words.replace("\x00", "")[:WORDS_LENGTH]
        return cls.by(reader, cls.How.SEARCHED, words=words, found=found)

    @classmethod
    def of_person(
        cls, person: User, by: User | None, how: How, changes: Iterable[Change] = (), **fields: Any
    ) -> TranscriptRead:
        """Returns an unsaved entry for a change of a user. `by` is None for the settings."""
        return cls.by(by, how, changes, owner=person, owner_email=person.email, **fields)

    @classmethod
    def by(cls, who: User | None, how: How, changes: Iterable[Change] = (), **fields: Any) -> TranscriptRead:
        """Returns an unsaved entry."""
        details = orjson.dumps(list(changes)).decode() if changes else ""
        return cls(reader=who, reader_email=who.email if who else "", how=how, details=details, **fields)

    @property
    def changes(self) -> list[Change]:
        return orjson.loads(self.details) if self.details else []

    def seal_after(self, before: str, secret: str) -> str:
        """Returns the seal of this entry after an entry with the seal `before`, as hexadecimal digits."""
        said = [
            *(before, self.number, self.how, self.at.astimezone(UTC).isoformat()),
            *(self.reader_email, self.owner_email, self.conversation_id),
            *(self.words, self.found, self.details),
        ]
        key = sha256(b"chat.models.audit" + secret.encode()).digest()
        return hmac.new(key, orjson.dumps(said), sha256).hexdigest()


def add_to_record(*entries: TranscriptRead) -> None:
    """Seals the entries and stores them. Other writers wait until the surrounding transaction ends, so call
    this last."""
    with transaction.atomic():
        if connection.vendor == "postgresql":  # SQLite has one writer at a time: transactions are IMMEDIATE
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        number, seal = _sealed().values_list("number", "seal").last() or (0, "")
        for entry in entries:
            number = (number or 0) + 1
            entry.number, entry.at = number, timezone.now()
            entry.seal = seal = entry.seal_after(seal, settings.SECRET_KEY)
        TranscriptRead.objects.bulk_create(entries)
        transaction.on_commit(lambda: logger.info("Audit entry %s, seal %s", number, seal))


def faults_of_record() -> Iterator[str]:
    """Yields a description of each fault of the record; nothing if the record is intact."""
    before, previous = "", 0
    for entry in _sealed().iterator():
        assert entry.number is not None
        if entry.number > previous + 1:
            gap = (
                f"{previous + 1} to {entry.number - 1}" if entry.number > previous + 2 else str(previous + 1)
            )
            yield f"Missing: {gap}."
        elif not _holds(entry, before):
            yield (
                f"Changed or moved: {entry.number} (or its secret key is no longer in SECRET_KEY or "
                "SECRET_KEY_FALLBACKS)."
            )
        before, previous = entry.seal, entry.number
    for pk in TranscriptRead.objects.filter(number=None).order_by("pk").values_list("pk", flat=True):
        yield f"Without a seal: id {pk} (written by an older Steady, or put into the database)."


def head_of_record() -> str:
    """Returns number and seal of the last entry, as `42:ab12…`; "0:" if there is none."""
    number, seal = _sealed().values_list("number", "seal").last() or (0, "")
    return f"{number}:{seal}"


def has_head(head: str) -> bool:
    """Returns whether the entry of a noted head exists unchanged."""
    number, _colon, seal = head.partition(":")
    return number == "0" or (number.isdecimal() and _sealed().filter(number=int(number), seal=seal).exists())


def _sealed() -> models.QuerySet[TranscriptRead]:
    return TranscriptRead.objects.exclude(number=None).order_by("number")


def _holds(entry: TranscriptRead, before: str) -> bool:
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return any(hmac.compare_digest(entry.seal_after(before, secret), entry.seal) for secret in secrets)
