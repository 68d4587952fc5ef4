"""What a file to be imported has, and which of its chats are here already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID, uuid5

from django.db.models import Count, F

from chat.actor import in_chunks
from chat.models import ChatImport, Conversation, Generation, Preset, PresetVersion, User
from chat.parts import storable
from chat.transfer.chats import CONTINUED, GROWN

MOST_TITLES = 20
IMPORT_IDS = UUID("0d5b0d4e-6f3b-5b0a-8a1e-0b1f6a3c9d27")  # the namespace of the ids of imported chats
STEADY = "steady"


@dataclass(slots=True)
class FileSummary:
    """What the summary of a file says. `known` is how many of the chats are here already, or twice in it;
    `replies` how many each chat has, by its id; `presets` how many chats use one of this name, `own_presets`
    the names of those in the file, `extras` how many of each type it has."""

    format: str = ""
    chats: int = 0
    messages: int = 0
    known: int = 0
    unreadable: int = 0
    ids: list[str] = field(default_factory=list)
    replies: dict[str, int] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    presets: Counter[str] = field(default_factory=Counter)
    extras: Counter[str] = field(default_factory=Counter)
    own_presets: set[str] = field(default_factory=set)
    oldest_at: str | None = None
    newest_at: str | None = None


def count_known(job: ChatImport, found: FileSummary) -> int:
    """Counts also those that have more replies in the file, as left out."""
    ids = dict.fromkeys(found.ids)
    kept = Conversation.objects.kept().filter(owner=job.owner)
    known: set[UUID] = set()
    for chunk in in_chunks(ids):
        places = {conversation_id_of(job.owner, found.format, it, 0): it for it in chunk}
        own = [own for it in chunk if found.format == STEADY and (own := as_uuid(it))]
        here = set(kept.filter(pk__in=[*places, *own]).values_list("pk", flat=True))
        found.left_out.update(count_grown({it: found.replies[places[it]] for it in here & places.keys()}))
        known |= here
    return len(known) + found.chats - len(ids)


def count_grown(replies: Mapping[UUID, int]) -> Counter[str]:
    """Counts the chats that were imported with fewer replies than the file has. `replies` is the number in
    the file, for each chat. Chats with replies made here are counted apart: their owner would lose these."""
    generations = Generation.objects.filter(conversation__in=replies.keys()).order_by()
    theirs = generations.filter(queued_at=F("finished_at")).values_list("conversation")
    imported = dict(theirs.annotate(Count("pk")))
    grown = {it for it, number in replies.items() if number > imported.get(it, 0)}
    continued = set(generations.made_here().values_list("conversation", flat=True).distinct())
    return Counter(CONTINUED if it in continued else GROWN for it in grown)


def count_presets(job: ChatImport, found: FileSummary) -> int:
    """Returns how many chats use presets that will not be here."""
    missing = found.presets.keys() - found.own_presets
    versions = PresetVersion.objects.filter(preset__in=Preset.objects.seen_by(job.owner))
    for chunk in in_chunks({storable(name) for name in missing}):
        missing -= set(versions.filter(name__in=chunk).values_list("name", flat=True))
    return sum(found.presets[name] for name in missing)


def find_place(owner: User, form: str, source_id: str) -> tuple[UUID, bool]:
    """Returns the id for an imported chat, and whether the chat is here already. A chat that was deleted
    since may be imported again."""
    own = as_uuid(source_id) if form == STEADY else None
    if own and Conversation.objects.kept().filter(owner=owner, pk=own).exists():
        return own, True
    for again in count():
        place = conversation_id_of(owner, form, source_id, again)
        deleted = Conversation.objects.filter(pk=place).values_list("deleted_at", flat=True)
        if not deleted:
            return place, False
        if deleted[0] is None:
            return place, True
    raise AssertionError


def conversation_id_of(owner: User, form: str, source_id: str, again: int) -> UUID:
    """Returns the id of an imported chat. `again` counts the earlier imports of it that were deleted."""
    return uuid5(IMPORT_IDS, f"{owner.pk} {form} {source_id} {again}".encode("utf-8", "replace").hex())


def as_uuid(source_id: str) -> UUID | None:
    """Returns None for an id that is no UUID."""
    try:
        return UUID(source_id)
    except ValueError:
        return None
