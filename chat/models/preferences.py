"""A user's preferences for the page."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from chat.models.catalog import ChatModel
from chat.models.prepared import Prepared
from chat.models.user import User

INSTRUCTIONS_LENGTH = 8_000


class Preferences(models.Model):
    """One row per user, created with the first change. Most fields reach the page as `data-*` attributes of
    its root element, where style sheets and scripts read them."""

    class Theme(models.TextChoices):
        SYSTEM = "system", _("Match system")
        LIGHT = "light", _("Light")
        DARK = "dark", _("Dark")

    class Density(models.TextChoices):
        COMFORTABLE = "comfortable", _("Comfortable")
        COMPACT = "compact", _("Compact")

    class TextSize(models.TextChoices):
        SMALL = "small", _("Small")
        MEDIUM = "medium", _("Medium")
        LARGE = "large", _("Large")
        LARGER = "larger", _("Larger")

    class Streaming(models.TextChoices):
        INSTANT = "instant", _("Immediately")
        WORDS = "words", _("Word by word")
        SENTENCES = "sentences", _("Sentence by sentence")
        LINES = "lines", _("Line by line")
        CALM = "calm", _("A few times per second")
        PARAGRAPHS = "paragraphs", _("Paragraph by paragraph")
        WHOLE = "whole", _("When it is complete")

    class SendKey(models.TextChoices):
        AUTO = "auto", _("Enter sends, except on touch screens")
        ENTER = "enter", _("Enter sends, Shift+Enter adds a new line")
        MOD_ENTER = "mod-enter", _("Ctrl+Enter (⌘+Enter) sends, Enter adds a new line")

    class Announcements(models.TextChoices):
        STATE = "state", _("When a reply starts and ends")
        SENTENCES = "sentences", _("Each sentence as it arrives")
        END = "end", _("The whole reply when it is complete")

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="preferences")
    language = models.CharField(_("Language"), max_length=10, blank=True)
    theme = models.CharField(_("Theme"), max_length=8, choices=Theme, default=Theme.SYSTEM)
    density = models.CharField(_("Density"), max_length=12, choices=Density, default=Density.COMFORTABLE)
    text_size = models.CharField(_("Text size"), max_length=8, choices=TextSize, default=TextSize.MEDIUM)
    streaming = models.CharField(_("Show replies"), max_length=12, choices=Streaming, default=Streaming.WORDS)
    send_key = models.CharField(_("Enter key"), max_length=10, choices=SendKey, default=SendKey.AUTO)
    single_keys = models.BooleanField(
        _("Single-key shortcuts"),
        default=True,
        help_text=_("For example, ? for help. Turn off if you use voice input."),
    )
    announcements = models.CharField(
        _("Screen reader announcements"), max_length=10, choices=Announcements, default=Announcements.STATE
    )
    keeps_calls = models.BooleanField(
        _("Keep calls of your programs as chats"),
        default=False,
        db_default=False,
        help_text=_("Calls through the gateway. Each call can ask for the opposite."),
    )
    instructions = models.TextField(
        _("My instructions"),
        blank=True,
        db_default="",
        default="",
        max_length=INSTRUCTIONS_LENGTH,
        help_text=_(
            "Sent to the model with each of your chats. You can turn them off in the menu of a chat."
        ),
    )
    default_model = models.ForeignKey(
        ChatModel,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("Model for new chats"),
    )
    favourites = models.ManyToManyField(ChatModel, blank=True, related_name="+")

    class Meta:
        verbose_name_plural = "preferences"

    def __str__(self) -> str:
        return f"Preferences of {self.user}"

    @classmethod
    def of(cls, user: User) -> Preferences:
        """Returns the user's preferences, or the defaults, unsaved."""
        return _preferences.first(user.pk) or cls(user=user)

    @property
    def language_or_default(self) -> str:
        return self.language or settings.LANGUAGE_CODE


_preferences = Prepared(
    lambda user: Preferences.objects.filter(user=user).select_related("default_model"), int
)
streaming_of = Prepared(
    lambda user: Preferences.objects.filter(user=user).values_list("streaming", flat=True), int
)
