"""Edits many models at once: the ticked settings are written to all chosen models, or to none."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet

from chat.models import ChatModel

_PREFIX = "set_"  # of the box that ticks a field
FIELDS = (
    *("for_everyone", "groups", "position"),
    *("input_price", "cached_input_price", "cache_write_price", "output_price", "search_price"),
    *("context_window", "max_output_tokens", "default_output_tokens"),
    *("takes_images", "takes_audio", "uses_tools", "searches_web"),
    *("reasons", "gives_json", "takes_temperature"),
    *("temperature", "lowest_temperature", "highest_temperature"),
    *("reasoning_effort", "lowest_effort", "highest_effort"),
    *("fallback", "system_prompt", "extra_body"),
)


class BulkForm(forms.ModelForm):
    """An unticked field is not changed. An empty ticked one empties the setting."""

    class Meta:
        model = ChatModel
        fields = FIELDS
        widgets = {"groups": forms.CheckboxSelectMultiple, "system_prompt": forms.Textarea(attrs={"rows": 4})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.required = False

    @property
    def ticked(self) -> list[str]:
        return [name for name in FIELDS if self.data.get(_PREFIX + name)]

    @property
    def rows(self) -> list[tuple[str, bool, forms.BoundField]]:
        """Returns the name of each field's box, whether it is ticked, and the field."""
        return [(_PREFIX + name, name in self.ticked, self[name]) for name in FIELDS]

    def clean(self) -> dict[str, Any]:
        """Forgets the errors of unticked fields."""
        for name in set(self.errors) - set(self.ticked):
            del self.errors[name]
        return self.cleaned_data

    def _post_clean(self) -> None:
        """The settings are checked with those of each model, in `apply`."""

    def apply(self, models: QuerySet[ChatModel]) -> bool:
        """Writes the ticked fields to all models. Returns false, and adds an error with the name of the
        model, if one of them cannot have them: then nothing is written."""
        names = [name for name in self.ticked if name != "groups"]
        try:
            with transaction.atomic():
                for model in models.select_for_update(of=("self",)).select_related("endpoint", "alias_of"):
                    for name in names:
                        value = self.cleaned_data[name]
                        setattr(model, name, 100 if name == "position" and value is None else value)
                    self._check(model, names)
                    model.save(update_fields=names)
                    if "groups" in self.ticked:
                        model.groups.set(self.cleaned_data["groups"])
        except ValidationError as error:
            self.add_error(None, error)
            return False
        return True

    def _check(self, model: ChatModel, names: list[str]) -> None:
        try:
            model.clean_fields(exclude={field.name for field in model._meta.fields} - set(names))
            model.clean()
        except ValidationError as error:
            words = "; ".join(f"{model}: {message}" for message in error.messages)
            raise ValidationError(words) from None
