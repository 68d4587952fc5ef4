"""The part of a form that says who may use a preset or a saved prompt."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import Group
from django.utils.translation import gettext_lazy as _

from chat.actions.sharing import Sharing, may_share_with_all
from chat.models import User, Visibility
from chat.models.sharing import Shared


class SharingForm(forms.Form):
    """Offers the groups of the user, and everybody where the server's settings allow it."""

    visibility = forms.ChoiceField(label=_("Who can use it"), widget=forms.RadioSelect)
    groups = forms.ModelMultipleChoiceField(
        Group.objects.none(), label=_("Groups"), required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, user: User, shared: Shared | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        visibility, groups = self.fields["visibility"], self.fields["groups"]
        assert isinstance(visibility, forms.ChoiceField)
        assert isinstance(groups, forms.ModelMultipleChoiceField)
        groups.queryset = user.groups.order_by("name")
        offered = {Visibility.OWN}
        if groups.queryset.exists():
            offered.add(Visibility.GROUPS)
        if may_share_with_all(user):
            offered.add(Visibility.ALL)
        visibility.choices = [choice for choice in Visibility.choices if choice[0] in offered]
        visibility.initial = Visibility.OWN
        if shared is not None:
            visibility.initial = shared.visibility if shared.visibility in offered else Visibility.OWN
            groups.initial = shared.groups.filter(user=user)

    @property
    def sharing(self) -> Sharing:
        """Of a valid form."""
        groups = [group.pk for group in self.cleaned_data["groups"]]
        is_with_groups = self.cleaned_data["visibility"] == Visibility.GROUPS
        return Sharing(self.cleaned_data["visibility"], groups if is_with_groups else ())
