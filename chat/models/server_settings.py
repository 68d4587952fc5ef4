"""What an administrator decides for the whole server: one row."""

from __future__ import annotations

from django.core.cache import cache
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from chat.models.catalog import ChatModel

CACHE_SECONDS = 5.0  # until the other processes use a change
_KEY = "chat.server_settings"
_changes = 0  # by this process


class ShareLinks(models.TextChoices):
    """Who can open share links, at most."""

    NONE = "none", _("Nobody: there are no links")
    TEAM = "team", _("People who are logged in here")
    ANYONE = "anyone", _("Anyone with the link")


class ServerSettings(models.Model):
    """The row has the primary key 1. Read it with `current`, in which a missing row has the defaults. A field
    added here is edited in the administration once its name is in `chat.admin.server_settings`."""

    title_model = models.ForeignKey(
        ChatModel,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("model for titles"),
        help_text=_(
            "Gives a new chat its title after the first reply. Its cost is counted for the owner of the "
            "chat. Empty: the title is the beginning of the first message."
        ),
    )
    summary_model = models.ForeignKey(
        ChatModel,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("model for summaries"),
        help_text=_(
            "Summarises the older messages of a chat that has become too long for its model. Its cost is "
            "counted for the owner of the chat. Empty: the older messages are left out."
        ),
    )

    file_mb = models.PositiveIntegerField(
        _("largest file"),
        default=100,
        db_default=100,
        validators=[MinValueValidator(1), MaxValueValidator(2_000)],
        help_text=_("In MB (1,048,576 bytes)."),
    )
    person_files_mb = models.PositiveIntegerField(
        _("files of one person"),
        default=2_000,
        db_default=2_000,
        validators=[MinValueValidator(0), MaxValueValidator(1_000_000)],
        help_text=_("In MB, all their files together. 0: nobody can attach files."),
    )

    class Sharers(models.TextChoices):
        ADMINISTRATORS = "staff", _("Administrators")
        EVERYBODY = "all", _("Everyone")

    sharers = models.CharField(
        _("who may share with everyone"),
        max_length=5,
        choices=Sharers,
        default=Sharers.ADMINISTRATORS,
        db_default="staff",
        help_text=_("Presets and saved prompts. Everyone may share them with their own groups."),
    )
    share_links = models.CharField(
        _("share links"),
        max_length=6,
        choices=ShareLinks,
        default=ShareLinks.TEAM,
        db_default="team",
        help_text=_(
            "Who can open the links that people create to their chats. Applies to existing links too."
        ),
    )

    class Meta:
        verbose_name = _("server settings")
        verbose_name_plural = _("server settings")

    def __str__(self) -> str:
        return str(self._meta.verbose_name)

    def save(self, *args: object, **kwargs: object) -> None:
        self.pk = 1
        super().save(*args, **kwargs)  # type: ignore[arg-type]
        _forget()
        transaction.on_commit(_forget)

    @classmethod
    def current(cls) -> ServerSettings:
        """Returns the settings as this process read them in the last `CACHE_SECONDS`. A change in this
        process is used at once. The related models are read when they are used."""
        found: ServerSettings | None = cache.get(_KEY)
        if found is None:
            before = _changes
            found = cls.objects.filter(pk=1).first() or cls(pk=1)
            if _changes == before:  # else this may be the row of before the change
                cache.set(_KEY, found, CACHE_SECONDS)
        return found


def _forget() -> None:
    global _changes
    _changes += 1
    cache.delete(_KEY)
