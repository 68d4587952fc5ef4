"""Presets: what a chat begins with. Instructions, a model, parameters, tools and suggested first prompts."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.catalog import ChatModel
from chat.models.conversation import Conversation
from chat.models.preferences import INSTRUCTIONS_LENGTH
from chat.models.sharing import Shared
from chat.models.user import User
from chat.models.variables import variables_in

NAME_LENGTH = 100
VALUE_LENGTH = 4_000  # characters of the value of one variable
MOST_PROMPTS = 6
PROMPT_LENGTH = 500


class Preset(Shared):
    """`number` is that of its newest version. Each change makes a version; a chat keeps the one that it
    began with until its owner takes a newer one."""

    name = models.CharField(_("Name"), max_length=NAME_LENGTH)
    number = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name", "pk"]
        verbose_name = _("preset")
        verbose_name_plural = _("presets")

    def __str__(self) -> str:
        return self.name

    @property
    def newest(self) -> PresetVersion:
        return self.versions.get(number=self.number)


class PresetVersion(models.Model):
    """Never changed. `prompts` is a list of suggested first prompts, `tools` of the names of tools,
    `parameters` as in `Conversation.parameters`. A model or a tool that the user of the chat may not use is
    left out."""

    preset = models.ForeignKey(Preset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    name = models.CharField(_("Name"), max_length=NAME_LENGTH)
    instructions = models.TextField(_("Instructions"), blank=True, max_length=INSTRUCTIONS_LENGTH)
    model = models.ForeignKey(
        ChatModel,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("Model"),
    )
    parameters = models.JSONField(default=dict)
    tools = models.JSONField(default=list)
    prompts = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    # Set by views: what of it the user may not use.
    lacks_model = False
    lacks_tools = False

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["preset", "number"], name="chat_preset_version_unique")
        ]

    def __str__(self) -> str:
        return f"{self.name}, {self.number}"

    @property
    def variables(self) -> list[str]:
        """Returns the names of the variables that a chat is asked for."""
        return variables_in(self.instructions)


class PresetUse(models.Model):
    """The preset of a chat: a copy, so that the chat goes on if the preset is deleted or not shared any more.
    `instructions` are those of the version with the `values` filled in. Its name and number are in the
    conversation. `after_position` is the position of the last message when the preset was chosen: until the
    next message, the page offers the preset's model."""

    conversation = models.OneToOneField(
        Conversation, primary_key=True, on_delete=models.CASCADE, related_name="preset_use"
    )
    version = models.ForeignKey(PresetVersion, null=True, on_delete=models.SET_NULL, related_name="+")
    values = models.JSONField(default=dict)
    instructions = models.TextField(blank=True)
    after_position = models.PositiveIntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return f"Preset of {self.conversation_id}"


class ChatStart(models.Model):
    """What a new chat will begin with, chosen on its page before the first prompt creates the chat.
    `conversation_id` refers to no row until then."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    conversation_id = models.UUIDField()
    folder = models.ForeignKey("chat.Folder", null=True, on_delete=models.SET_NULL, related_name="+")
    version = models.ForeignKey(PresetVersion, null=True, on_delete=models.SET_NULL, related_name="+")
    values = models.JSONField(default=dict)
    uses_instructions = models.BooleanField(default=True, db_default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "conversation_id"], name="chat_start_unique")]

    def __str__(self) -> str:
        return f"Start of {self.conversation_id}"
