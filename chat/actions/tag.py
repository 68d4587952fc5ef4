"""Tags of conversations."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import UUID

from django.db import transaction
from django.db.models import Count

from chat.access import conversation_for
from chat.actions.errors import InvalidInputError, TooLongError
from chat.models import Tag, User
from chat.models.prepared import Prepared
from chat.models.tag import MOST_TAGS, NAME_LENGTH
from chat.parts import storable
from chat.search.query import tag_key
from chat.translatable import translatable as _

_MOST_NAMES = 200  # that are offered for completion
_names = Prepared(
    lambda user: (
        Tag.objects.filter(conversation__owner=user, conversation__deleted_at=None)
        .order_by()
        .values_list("name")
        .annotate(number=Count("pk"))
        .order_by("-number", "name")[:_MOST_NAMES]
    ),
    int,
)


def tag_conversation(user: User, conversation_id: UUID, name: str) -> None:
    """Adds the tag; does nothing if the conversation has it. Raises `NotFoundError`, `InvalidInputError`,
    `TooLongError`."""
    name = tag_name(name)
    with transaction.atomic():
        conversation = conversation_for(user, conversation_id, write=True)
        if add_tags([conversation.pk], [name]):
            raise TooLongError(_("A chat can have at most {limit} tags."), limit=MOST_TAGS)


def untag_conversation(user: User, conversation_id: UUID, name: str) -> None:
    """Removes the tag if the conversation has it. Raises `NotFoundError`."""
    with transaction.atomic():
        conversation = conversation_for(user, conversation_id, write=True)
        Tag.objects.filter(conversation=conversation, key=tag_key(readable_tag(name))).delete()


def set_tags(user: User, conversation_id: UUID, names: Iterable[str]) -> None:
    """Gives the conversation exactly these tags. Raises as `tag_conversation`."""
    wanted = {tag_key(name): name for name in map(tag_name, names)}
    with transaction.atomic():
        conversation = conversation_for(user, conversation_id, write=True)
        Tag.objects.filter(conversation=conversation).exclude(key__in=wanted).delete()
        if add_tags([conversation.pk], list(wanted.values())):
            raise TooLongError(_("A chat can have at most {limit} tags."), limit=MOST_TAGS)


def tag_name(text: str) -> str:
    """Returns the name as it is stored. Raises `InvalidInputError`, `TooLongError`."""
    name = readable_tag(text)
    if not name:
        raise InvalidInputError(_("The tag is empty. Type a word."))
    if len(name) > NAME_LENGTH:
        raise TooLongError(_("A tag may have at most {limit} characters."), limit=NAME_LENGTH)
    return name


def readable_tag(text: str) -> str:
    """Returns the text as a name that can be stored, without what would end it in a search. It may be empty
    or too long."""
    return " ".join(storable(text.replace("\x00", "").replace('"', " ")).split())


def readable_tags(texts: Iterable[str]) -> list[str]:
    """Returns the names of a foreign file that can be stored, each once."""
    names = {tag_key(name): name for text in texts if (name := readable_tag(text)[:NAME_LENGTH].strip())}
    return list(names.values())[:MOST_TAGS]


def add_tags(conversation_ids: Collection[UUID], names: Collection[str]) -> int:
    """Adds the tags to conversations, whose rows the caller has locked. Returns how many conversations have
    too many tags to get them."""
    tags = Tag.objects.filter(conversation__in=conversation_ids)
    counts = dict(tags.order_by().values_list("conversation").annotate(number=Count("pk")))
    keys = {tag_key(name): name for name in names}
    have = set(tags.filter(key__in=keys).values_list("conversation", "key"))
    full = 0
    new: list[Tag] = []
    for pk in conversation_ids:
        missing = [key for key in keys if (pk, key) not in have]
        if counts.get(pk, 0) + len(missing) > MOST_TAGS:
            full += 1
            continue
        new += [Tag(conversation_id=pk, name=keys[key], key=key) for key in missing]
    Tag.objects.bulk_create(new, ignore_conflicts=True)
    return full


def tag_names(user: User) -> list[str]:
    """Returns the names that the user has given, the most frequent first."""
    return [name for name, _number in _names.all(user.pk)]
