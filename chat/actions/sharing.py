"""Sharing presets and saved prompts with others."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.contrib.auth.models import Group

from chat.actions.errors import InvalidInputError
from chat.models import ServerSettings, User, Visibility
from chat.models.sharing import Shared
from chat.translatable import translatable as _


@dataclass(frozen=True, slots=True)
class Sharing:
    """Who may use it: a value of `Visibility`, and the ids of groups of the owner."""

    visibility: str = Visibility.OWN
    groups: Collection[int] = ()


def may_share_with_all(user: User) -> bool:
    """Returns whether this user may share with everybody, as the settings of the server say."""
    if ServerSettings.current().sharers == ServerSettings.Sharers.EVERYBODY:
        return True
    return user.has_perm("chat.change_serversettings")


def share(user: User, shared: Shared, sharing: Sharing) -> None:
    """Sets who may use the object, which is the user's own and stored. Raises `InvalidInputError`."""
    if sharing.visibility not in Visibility:
        raise InvalidInputError(_("Choose who can use it."))
    if sharing.visibility == Visibility.ALL and not may_share_with_all(user):
        raise InvalidInputError(_("Only administrators can share with everyone on this server."))
    groups = list(Group.objects.filter(user=user, pk__in=list(sharing.groups)))
    if len(groups) != len(set(sharing.groups)):
        raise InvalidInputError(_("You can share with your own groups only."))
    if sharing.visibility == Visibility.GROUPS and not groups:
        raise InvalidInputError(_("Choose a group."))
    shared.visibility = Visibility(sharing.visibility)
    shared.save(update_fields=["visibility"])
    shared.groups.set(groups if shared.visibility == Visibility.GROUPS else [])
