"""Asks the providers for their models now, as the server does at its start and every few minutes."""

from __future__ import annotations

import asyncio
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chat.actions.catalog import SyncResult, sync_catalog
from chat.models import Endpoint
from chat.providers import registry


class Command(BaseCommand):
    help = "Fills the model catalog from the providers' own lists."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("providers", nargs="*", help="Slugs such as openai or ollama. None: all of them.")

    def handle(self, *args: Any, **options: Any) -> None:
        slugs = options["providers"]
        known = Endpoint.objects.configs()
        unknown = sorted(set(slugs) - set(known))
        if unknown:
            raise CommandError(f"Not set up: {', '.join(unknown)}. Known are: {', '.join(known)}.")
        results = asyncio.run(_sync(slugs or None))
        for result in results:
            words = result.error or f"{result.listed} models, {result.added} new"
            words = " ".join(filter(None, [words, result.detail, result.remark]))
            style = self.style.ERROR if result.error else self.style.SUCCESS
            self.stdout.write(f"{result.slug}: {style(words)}")
        if any(result.error for result in results):
            raise CommandError("Not every provider answered.")


async def _sync(slugs: list[str] | None) -> list[SyncResult]:
    try:
        return await sync_catalog(slugs)
    finally:
        await registry.close_all()
