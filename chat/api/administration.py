"""People, the catalog and everyone's chats, for administrators. As in the administration, each reading of
titles or texts is recorded first, with the token."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from ninja import Path, Router
from ninja.params import functions as parameters

from chat.access import NotFoundError
from chat.actor import Actor
from chat.api import schemas
from chat.api.pages import Cursor, Limit, decoded, encoded, page_of, page_of_messages, whole
from chat.api.resources import conversation_json, model_json, moment_in
from chat.api.routing import REFUSALS, ApiRequest, Token
from chat.database import run_unit, run_write
from chat.models import ChatModel, Conversation, Generation, Scope, TranscriptRead, User
from chat.models.audit import Change, add_to_record, recorded
from chat.translatable import translatable as _

router = Router(tags=["Administration"])


@router.get(
    "/admin/people",
    auth=Token(Scope.ADMIN),
    response={200: schemas.PersonPage, **REFUSALS},
    operation_id="listPeople",
    summary="List people",
)
async def list_people(request: ApiRequest, cursor: Cursor = "", limit: Limit = 50) -> dict[str, Any]:
    return await run_unit(_people, cursor, limit)


@router.get(
    "/admin/models",
    auth=Token(Scope.ADMIN),
    response={200: schemas.CatalogPage, **REFUSALS},
    operation_id="listCatalog",
    summary="List the catalog of models",
)
async def list_catalog(request: ApiRequest, cursor: Cursor = "", limit: Limit = 50) -> dict[str, Any]:
    """Returns all models, also those that are turned off or open to some groups only."""
    return await run_unit(_catalog, cursor, limit)


@router.get(
    "/admin/conversations",
    auth=Token(Scope.ADMIN),
    response={200: schemas.TranscriptPage, **REFUSALS},
    operation_id="listTranscripts",
    summary="List everyone's chats",
)
async def list_transcripts(
    request: ApiRequest,
    cursor: Cursor = "",
    limit: Limit = 50,
    person: Annotated[int | None, parameters.Query(ge=1, lt=2**63, description="The id of a person.")] = None,
) -> dict[str, Any]:
    """Returns chats with their titles, the last changed first. Each request is recorded."""
    return await run_write(_transcripts, request.auth, person, cursor, limit)


@router.get(
    "/admin/conversations/{uuid:conversation_id}/messages",
    auth=Token(Scope.ADMIN),
    response={200: schemas.MessagePage, **REFUSALS},
    operation_id="readTranscript",
    summary="Read a chat of anyone",
)
async def read_transcript(
    request: ApiRequest, conversation_id: Path[UUID], cursor: Cursor = "", limit: Limit = 50
) -> dict[str, Any]:
    """Returns the tree of messages, also of deleted ones. Each request is recorded."""
    return await run_write(_transcript, request.auth, conversation_id, cursor, limit)


def _people(cursor: str, limit: int) -> dict[str, Any]:
    found = User.objects.order_by("pk")
    if cursor:
        (last,) = decoded(cursor, whole)
        found = found.filter(pk__gt=last)
    return page_of(list(found[: limit + 1]), limit, _person_json, lambda person: encoded(person.pk))


def _person_json(person: User) -> dict[str, Any]:
    return {
        "id": person.pk,
        "email": person.email,
        "name": person.get_full_name(),
        "active": person.is_active,
        "administrator": person.is_superuser,
        "joined_at": person.date_joined,
        "last_login_at": person.last_login,
    }


def _catalog(cursor: str, limit: int) -> dict[str, Any]:
    found = ChatModel.objects.order_by("pk")
    if cursor:
        (last,) = decoded(cursor, whole)
        found = found.filter(pk__gt=last)

    def shown(model: ChatModel) -> dict[str, Any]:
        state = {name: getattr(model, name) for name in ("enabled", "available", "for_everyone")}
        return {**model_json(model), **state}

    return page_of(list(found[: limit + 1]), limit, shown, lambda model: encoded(model.pk))


def _transcripts(actor: Actor, person: int | None, cursor: str, limit: int) -> dict[str, Any]:
    # Without erased ones, as the administration.
    found = Conversation.objects.exclude(deleted_at__isnull=False, last_position=0)
    if person is not None:
        found = found.filter(owner=person)
    if cursor:
        moment, last = decoded(cursor, moment_in, UUID)
        found = found.filter(Q(updated_at__lt=moment) | Q(updated_at=moment, pk__lt=last))
    running = Generation.objects.live().filter(conversation=OuterRef("pk"))
    with transaction.atomic():
        how = TranscriptRead.How.TITLES
        add_to_record(TranscriptRead.by(actor.user, how, _by_token(actor)))
        recorded()
        rows = list(
            found.select_related("owner")
            .annotate(is_running=Exists(running))
            .order_by("-updated_at", "-pk")[: limit + 1]
        )
    return page_of(
        rows,
        limit,
        lambda row: {
            **conversation_json(row, running=bool(vars(row)["is_running"])),
            "owner": {"id": row.owner_id, "email": row.owner.email},
            "deleted_at": row.deleted_at,
        },
        lambda row: encoded(row.updated_at.isoformat(), row.pk),
    )


def _transcript(actor: Actor, conversation_id: UUID, cursor: str, limit: int) -> dict[str, Any]:
    found = Conversation.objects.select_related("owner").only("owner__email").filter(pk=conversation_id)
    with transaction.atomic():
        conversation = found.exclude(deleted_at__isnull=False, last_position=0).first()
        if conversation is None:
            raise NotFoundError(_("There is no such chat."))
        how = TranscriptRead.How.READ
        fields = {"conversation_id": conversation.pk}
        add_to_record(
            TranscriptRead.of_person(conversation.owner, actor.user, how, _by_token(actor), **fields)
        )
        recorded()
        return page_of_messages(conversation.messages.all(), cursor, limit)


def _by_token(actor: Actor) -> list[Change]:
    """Returns the details of an audit entry that name the token."""
    assert actor.token is not None
    return [("token", "", f"{actor.token.prefix}… {actor.token.name}")]
