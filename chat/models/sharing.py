"""What people keep for themselves or share with others."""

from __future__ import annotations

import uuid
from typing import Self

from django.contrib.auth.models import Group
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from chat.models.user import User


class Visibility(models.TextChoices):
    OWN = "own", _("Only me")
    GROUPS = "groups", _("My groups")
    ALL = "all", _("Everyone")


class SharedQuerySet(models.QuerySet["Shared"]):
    def seen_by(self, user: User) -> Self:
        """Returns the user's own objects, and those that are shared with the user."""
        with_group = self.model.objects.filter(visibility=Visibility.GROUPS, groups__in=user.groups.all())
        return self.filter(Q(owner=user) | Q(visibility=Visibility.ALL) | Q(pk__in=with_group.values("pk")))


class Shared(models.Model):
    """`groups` counts only with the visibility "groups"."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="%(class)ss")
    visibility = models.CharField(
        _("Who can use it"), max_length=6, choices=Visibility, default=Visibility.OWN
    )
    groups = models.ManyToManyField(Group, blank=True, related_name="+", verbose_name=_("Groups"))

    objects = SharedQuerySet.as_manager()

    class Meta:
        abstract = True
