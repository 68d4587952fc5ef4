"""Makes, revokes and continues share links: read-only views of a part of a chat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from itertools import dropwhile
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from chat.access import NotFoundError, conversation_for, conversations_of, share_for
from chat.actions.attachment import copies_of_files, store_copies
from chat.actions.branch import BATCH, KEPT
from chat.actions.errors import ConflictError, InvalidInputError, LimitReachedError
from chat.actions.queue import lock_user
from chat.actions.shown_path import head_of
from chat.models import (
    Attachment,
    Audience,
    ChatModel,
    Conversation,
    Generation,
    Message,
    Role,
    ServerSettings,
    Share,
    TranscriptRead,
    User,
)
from chat.models.audit import add_to_record
from chat.models.conversation import TITLE_LENGTH, shortened
from chat.parts import NoticePart, storable, stored
from chat.search.index import index_message, index_title
from chat.translatable import translatable as _

COPIED = ("text", "citation")  # the parts that a copy of a shared chat has
MOST_MESSAGES = 500  # in one share: its page has them all
MOST_SHARES = 100  # links of one person that have not expired
MOST_DAYS = 365
KEPT_DAYS = 30  # in which an expired link is still listed
COPY = "share"  # `Conversation.imported_from` of a copy


@dataclass(frozen=True, slots=True)
class Range:
    """The messages of a chat that a link would show. `choices` are those that its ends can be."""

    conversation: Conversation
    choices: list[Message]
    messages: list[Message]
    is_longer: bool

    @property
    def fingerprint(self) -> str:
        """Returns a short text that is different for other messages."""
        return sha256("".join(str(message.pk) for message in self.messages).encode()).hexdigest()[:32]

    @property
    def prompts(self) -> int:
        return sum(message.role == Role.USER for message in self.messages)

    @property
    def replies(self) -> int:
        return len(self.messages) - self.prompts

    @property
    def files(self) -> list[str]:
        """Returns the names of the files."""
        return [file.name for message in self.messages for file in message.files]

    @property
    def has_steps(self) -> bool:
        """Returns whether a reply has reasoning or calls of tools."""
        kinds = {"reasoning", "tool_call", "tool", "web_search"}
        return any(part["type"] in kinds for message in self.messages for part in message.parts)

    @property
    def is_running(self) -> bool:
        return any(message.is_live for message in self.messages)


def range_of(user: User, conversation_id: UUID, first: UUID | None = None, last: UUID | None = None) -> Range:
    """Returns the shown messages from `first` to `last`, each by default the end of the chat; at most the
    newest `MOST_MESSAGES` can be chosen. Raises `NotFoundError`, `ConflictError` if sharing is turned off, if
    the chat has no messages, or if an end is not shown any more, and `InvalidInputError` for ends in the
    wrong order."""
    if not allowed_audiences():
        raise ConflictError(_("Share links are turned off on this server."))
    conversation = conversation_for(user, conversation_id)
    rows = conversation.messages.shown().order_by("-position")
    newest: list[Message] = list(rows[: MOST_MESSAGES + 1])
    choices = newest[:MOST_MESSAGES][::-1]
    if not choices:
        raise ConflictError(_("This chat has no messages yet."))
    places = {message.pk: at for at, message in enumerate(choices)}
    ends = first or choices[0].pk, last or choices[-1].pk
    if not places.keys() >= set(ends):
        raise ConflictError(_("This message is not in the chat any more. Reload the chat."))
    start, stop = (places[end] for end in ends)
    if start > stop:
        raise InvalidInputError(_("The first message is after the last one. Choose another one."))
    return Range(conversation, choices, choices[start : stop + 1], len(newest) > len(choices))


def make_share(
    user: User,
    shown: Range,
    *,
    fingerprint: str,
    title: str,
    audience: str,
    days: int,
    names: bool,
    files: bool,
    steps: bool,
) -> Share:
    """Makes the link to what the preview with this fingerprint showed. Raises `ConflictError` if that has
    changed or a reply is running, `InvalidInputError`, `LimitReachedError`."""
    if audience not in allowed_audiences():
        raise InvalidInputError(_("Choose who can open the link."))
    if not 1 <= days <= MOST_DAYS:
        raise InvalidInputError(_("Choose when the link expires."))
    if shown.is_running:
        raise ConflictError(_("A reply is still running. Wait for its end, or share the messages before it."))
    if fingerprint != shown.fingerprint:
        raise ConflictError(_("The messages have changed since then. Check the preview again."))
    title = " ".join(storable(title.replace("\x00", "")).split())[:TITLE_LENGTH]
    with transaction.atomic():
        lock_user(user)
        conversation = conversation_for(user, shown.conversation.pk, write=True)
        of_theirs = Share.objects.filter(conversation__owner=user, expires_at__gt=timezone.now())
        if of_theirs.count() >= MOST_SHARES:
            raise LimitReachedError(
                _("You have {limit} links. Revoke one that is not used."), limit=MOST_SHARES
            )
        share = Share.objects.create(
            conversation=conversation,
            title=title or _first_words(shown.messages),
            author=user.display_name if names else "",
            audience=audience,
            shows_files=files,
            shows_steps=steps,
            expires_at=timezone.now() + timedelta(days=days),
        )
        share.messages.set(shown.messages)
        # The entry names no reader: the user must not count as an administrator who acted.
        add_to_record(_entry(share, None, TranscriptRead.How.SHARED))
    return share


def allowed_audiences() -> list[Audience]:
    """Returns who can open links on this server; none if there are no links."""
    match ServerSettings.current().share_links:
        case "anyone":
            return [Audience.TEAM, Audience.ANYONE]
        case "team":
            return [Audience.TEAM]
        case _:
            return []


def shares_of(user: User) -> QuerySet[Share]:
    """Returns the links to this user's chats, the newest first. Those that expired long ago are left out."""
    listed = Share.objects.filter(conversation__owner=user, conversation__deleted_at=None)
    return listed.filter(expires_at__gt=timezone.now() - timedelta(days=KEPT_DAYS))


def revoke_share(user: User, share_id: UUID) -> None:
    """Ends the link. Raises `NotFoundError`."""
    if not revoke_shares(shares_of(user).filter(pk=share_id), by=None):
        raise NotFoundError(_("There is no such link."))


def revoke_shares(shares: QuerySet[Share], *, by: User | None) -> int:
    """Deletes these shares and adds an audit entry for each. `by` is the administrator, or None for the
    owner. Returns how many there were."""
    with transaction.atomic():
        # Not the secret, nor the title: an administrator does not read them without an entry.
        rows = list(shares.defer("secret", "title").select_for_update(of=("self",)).order_by("pk"))
        owners = Conversation.objects.filter(pk__in=[row.conversation_id for row in rows])
        by_id = owners.select_related("owner").only("owner__email").in_bulk()
        Share.objects.filter(pk__in=[row.pk for row in rows]).only("pk").delete()
        if rows:
            entries = []
            for row in rows:
                row.conversation = by_id[row.conversation_id]
                entries.append(_entry(row, by, TranscriptRead.How.UNSHARED))
            add_to_record(*entries)
    return len(rows)


def delete_old_shares() -> int:
    """Deletes links that expired long ago, and those to chats that cannot be restored. Returns the number."""
    return Share.objects.filter(expires_at__lt=timezone.now() - timedelta(days=KEPT_DAYS)).delete()[0]


def continue_share(user: User, secret: str, chat_id: UUID | None = None) -> Conversation:
    """Copies what the share shows of texts and files into a new chat of this user. A copied reply keeps its
    model only if the user may use it. Reasoning, calls of tools and notices are not copied, nor is a reply
    without its prompt. With the same `chat_id` again, as after a double click, returns the chat that is
    there. Raises `NotFoundError`, and `LimitReachedError` if the user would have too many files."""
    with transaction.atomic():
        lock_user(user)
        share = share_for(user, secret)
        chat_id = chat_id or uuid4()
        if again := conversations_of(user).filter(pk=chat_id, imported_from=COPY).first():
            return again
        if Conversation.objects.filter(pk=chat_id).exists():
            chat_id = uuid4()
        shown = list(dropwhile(lambda message: message.role != Role.USER, share.shown_messages))
        if not shown:
            raise NotFoundError(_("There is no such link."))
        usable = set(ChatModel.objects.usable_by(user).values_list("pk", flat=True))
        chat = Conversation(id=chat_id, owner=user, title=share.title, imported_from=COPY)
        copies: dict[UUID, Message] = {}
        files: list[Attachment] = []
        generations: list[Generation] = []
        for old in shown:
            last = next(reversed(copies.values()), None)
            parent = copies.get(old.parent_id, last) if old.parent_id else last
            copy, theirs = _copy(old, chat, parent, user if share.shows_files else None)
            if not copies:
                copy.parts += stored([_origin(share)])
            index_message(copy, user.pk, old.reply.model_label if old.reply else "")
            copies[old.pk] = copy
            files += theirs
            if old.reply:
                kept = {name: getattr(old.reply, name) for name in KEPT}
                kept["model_id"] = kept["model_id"] if kept["model_id"] in usable else None
                generations.append(Generation(conversation=chat, message=copy, **kept))
        chat.seen_revision = chat.revision
        index_title(chat, is_new=True)
        chat.save(force_insert=True)
        Message.objects.bulk_create(copies.values(), batch_size=BATCH)
        store_copies(user, files)
        Generation.objects.bulk_create(generations, batch_size=BATCH)
        chat.head = head_of(chat)
        chat.save(update_fields=["head"])
    return chat


def _first_words(messages: Sequence[Message]) -> str:
    texts = (shortened(message.text) for message in messages)
    return next(filter(None, texts), "…")


def _origin(share: Share) -> NoticePart:
    if share.author:
        return NoticePart(f"{_('Copied from a chat that was shared by:')}\n{share.author}")
    return NoticePart(_("Copied from a shared chat."))


def _copy(
    old: Message, chat: Conversation, parent: Message | None, owner: User | None
) -> tuple[Message, list[Attachment]]:
    """Returns an unsaved copy, and its unsaved attachments. They belong to `owner`; without one there are
    none."""
    revision = chat.next_revision()
    kinds = (*COPIED, "file") if owner else COPIED
    copy = Message(
        conversation=chat,
        parent=parent,
        position=chat.next_position(),
        role=old.role,
        text=old.text,
        parts=[part for part in old.parts if part["type"] in kinds],
        added_revision=revision,
        revision=revision,
    )
    files = copies_of_files(old, copy) if owner else []
    for file in files:
        file.owner = owner  # type: ignore[assignment]
    if owner is None and old.files:
        copy.parts += stored([NoticePart(_("The files of this message were not shared."))])
    return copy, files


def _entry(share: Share, by: User | None, how: TranscriptRead.How) -> TranscriptRead:
    facts = f"{share.pk} ({share.audience})"
    before, after = ("", facts) if how == TranscriptRead.How.SHARED else (facts, "")
    chat = share.conversation
    return TranscriptRead.of_person(
        chat.owner, by, how, [("share link", before, after)], conversation_id=chat.pk
    )
