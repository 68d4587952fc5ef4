"""Makes, changes, shares and deletes saved prompts."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from chat.access import saved_prompt_for
from chat.actions.errors import ConflictError, InvalidInputError, LimitReachedError, TooLongError
from chat.actions.queue import lock_user
from chat.actions.sharing import Sharing, share
from chat.models import SavedPrompt, User
from chat.models.saved_prompt import NAME_LENGTH, TEXT_LENGTH
from chat.parts import storable
from chat.translatable import translatable as _

MOST = 500  # saved prompts of one user
RESERVED = {"demo"}  # commands of the demo model


def make_saved_prompt(user: User, name: str, text: str, sharing: Sharing | None = None) -> SavedPrompt:
    """Raises `InvalidInputError`, `TooLongError`, `LimitReachedError`, and `ConflictError` for a name that
    the user has already."""
    with transaction.atomic():
        lock_user(user)
        if SavedPrompt.objects.filter(owner=user).count() >= MOST:
            raise LimitReachedError(
                _("You have {limit} saved prompts. Delete one that is not used."), limit=MOST
            )
        return _stored(user, SavedPrompt(owner=user), name, text, sharing or Sharing())


def change_saved_prompt(
    user: User, prompt_id: UUID, name: str, text: str, sharing: Sharing | None
) -> SavedPrompt:
    """Without `sharing` it stays shared as it is. Raises as `make_saved_prompt`, and `NotFoundError` for a
    prompt of another user."""
    with transaction.atomic():
        lock_user(user)
        return _stored(user, saved_prompt_for(user, prompt_id, write=True), name, text, sharing)


def delete_saved_prompt(user: User, prompt_id: UUID) -> None:
    """Raises `NotFoundError`."""
    with transaction.atomic():
        saved_prompt_for(user, prompt_id, write=True).delete()


def _stored(user: User, prompt: SavedPrompt, name: str, text: str, sharing: Sharing | None) -> SavedPrompt:
    prompt.name = name.strip().removeprefix("/")
    prompt.text = storable(text.replace("\r\n", "\n").replace("\x00", "")).strip()
    if not prompt.text:
        raise InvalidInputError(_("The text is empty. Write something first."))
    if len(prompt.text) > TEXT_LENGTH:
        raise TooLongError(_("The text may have at most {limit} characters."), limit=TEXT_LENGTH)
    if len(prompt.name) > NAME_LENGTH:
        raise TooLongError(_("The name may have at most {limit} characters."), limit=NAME_LENGTH)
    if not prompt.name:
        raise InvalidInputError(_("Enter a name for the prompt."))
    try:
        SavedPrompt._meta.get_field("name").run_validators(prompt.name)
    except ValidationError:
        raise InvalidInputError(
            _("The name may have letters, digits, - and _ only, without spaces.")
        ) from None
    if prompt.name.lower() in RESERVED:
        raise InvalidInputError(_("This name is taken by a command. Choose another one."))
    others = SavedPrompt.objects.filter(owner=user, name__iexact=prompt.name).exclude(pk=prompt.pk)
    if others.exists():
        raise ConflictError(_("You have a saved prompt with this name already. Choose another name."))
    prompt.save()
    if sharing is not None:
        share(user, prompt, sharing)
    return prompt
