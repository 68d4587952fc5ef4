"""Who may use a preset or a saved prompt, in the JSON of the API."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group

from chat.actions.errors import InvalidInputError
from chat.actions.sharing import Sharing
from chat.api import schemas
from chat.models import User
from chat.models.sharing import Shared
from chat.translatable import translatable as _


def sharing_of(user: User, wanted: schemas.SharedWith | None) -> Sharing | None:
    """Returns what the program wishes, or None. Raises `InvalidInputError` for a group that the user is not
    in."""
    if wanted is None:
        return None
    theirs = dict(Group.objects.filter(user=user).values_list("name", "pk"))
    if not theirs.keys() >= set(wanted.groups):
        raise InvalidInputError(_("You can share with your own groups only."))
    return Sharing(wanted.visibility, {theirs[name] for name in wanted.groups})


def shared_json(user: User, shared: Shared) -> dict[str, Any] | None:
    """Returns who may use the user's own object; None for that of another user. `groups` is prefetched."""
    if shared.owner_id != user.pk:
        return None
    return {"visibility": shared.visibility, "groups": [group.name for group in shared.groups.all()]}
