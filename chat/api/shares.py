"""Share links: read-only views of a part of a chat."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.urls import reverse
from ninja import Path, Router, Status

from chat.access import NotFoundError
from chat.actions.share import continue_share, make_share, range_of, revoke_share, shares_of
from chat.api import schemas
from chat.api.resources import conversation_json
from chat.api.routing import REFUSALS, ApiRequest, Token
from chat.database import run_unit, run_write
from chat.models import Scope, Share, User
from chat.translatable import translatable as _

router = Router(tags=["Chats"])


@router.get(
    "/shares",
    auth=Token(Scope.CHAT),
    response={200: schemas.ShareList, **REFUSALS},
    operation_id="listShares",
    summary="List your share links",
)
async def list_shares(request: ApiRequest) -> dict[str, Any]:
    """Returns the links to your chats, the newest first. With `read` alone a program sees none: they can be
    passed on."""
    return await run_unit(lambda: {"items": list(map(_json, shares_of(request.auth.user)))})


@router.post(
    "/conversations/{uuid:conversation_id}/shares",
    auth=Token(Scope.CHAT),
    response={201: schemas.Share, **REFUSALS},
    operation_id="shareConversation",
    summary="Make a share link",
)
async def share(
    request: ApiRequest, conversation_id: Path[UUID], body: schemas.NewShare
) -> Status[dict[str, Any]]:
    """Makes a link that shows the messages from `first` to `last` as they are now, without later ones."""
    return Status(201, await run_write(_made, request.auth.user, conversation_id, body))


@router.delete(
    "/shares/{uuid:share_id}",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="revokeShare",
    summary="Revoke a share link",
)
async def revoke(request: ApiRequest, share_id: Path[UUID]) -> Status[None]:
    await run_write(revoke_share, request.auth.user, share_id)
    return Status(204, None)


@router.post(
    "/shares/copies",
    auth=Token(Scope.CHAT),
    response={201: schemas.Conversation, **REFUSALS},
    operation_id="continueShare",
    summary="Continue what a share link shows",
)
async def copy(request: ApiRequest, body: schemas.SharedAddress) -> Status[dict[str, Any]]:
    """Copies what the link shows into a new chat of yours. The address is in the body, so that it is in no
    log."""
    secret = body.path.rstrip("/").rpartition("/")[2]
    if not secret.isascii() or "\x00" in secret:
        raise NotFoundError(_("There is no such link."))
    made = await run_write(
        lambda: conversation_json(continue_share(request.auth.user, secret), running=False)
    )
    return Status(201, made)


def _made(user: User, conversation_id: UUID, body: schemas.NewShare) -> dict[str, Any]:
    shown = range_of(user, conversation_id, body.first, body.last)
    made = make_share(
        user,
        shown,
        fingerprint=shown.fingerprint,
        title=body.title,
        audience=body.audience,
        days=body.days,
        names=body.names,
        files=body.files,
        steps=body.steps,
    )
    return _json(made)


def _json(share: Share) -> dict[str, Any]:
    return {
        "id": share.pk,
        "conversation": share.conversation_id,
        "path": reverse("shared", args=[share.secret]),
        "title": share.title,
        "audience": share.audience,
        "files": share.shows_files,
        "steps": share.shows_steps,
        "created_at": share.created_at,
        "expires_at": share.expires_at,
    }
