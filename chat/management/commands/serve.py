"""`manage.py serve` prepares everything and starts the server, on a new clone and at every later start."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, connection
from django.urls import reverse
from django.utils.module_loading import import_string

from chat.database import run_unit, run_write
from chat.management import bootstrap
from chat.management.errors import StartError
from chat.management.first_process import fork_if_first_process

if TYPE_CHECKING:
    from chat.actions.catalog import SyncResult  # imported at run time, after the settings were checked

logger = logging.getLogger(__name__)

SYNC_SECONDS = 600.0


class Command(BaseCommand):
    # Only our own checks: all of them take long, and query the database before it exists.
    requires_system_checks = ()
    help = "Prepares the database, the static files and the first administrator, then serves Steady."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "address", nargs="?", default="127.0.0.1:8000", help="[address:]port, by default 127.0.0.1:8000"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._serve(options["address"])
        except StartError as error:
            self.stdout.flush()
            self.stderr.write(f"Steady cannot start. {error}")
            sys.exit(error.code)

    def _serve(self, address: str) -> None:
        self._check_settings()
        fork_if_first_process()
        from chat.management import server  # imports Twisted, after the settings were checked

        host, port = server.parse_address(address)
        listener = server.listen(host, port)
        bootstrap.prepare_directories()
        bootstrap.lock_sqlite()
        if done := bootstrap.prepare_database():
            self._say(done)
        bootstrap.hold_sqlite_file()
        if bootstrap.collect_static():
            self._say("The static files are collected.")
        _sync_tools()
        welcome = _first_admin()

        application = import_string(settings.ASGI_APPLICATION)
        bound = listener.getsockname()[1]

        async def background() -> None:
            from chat.actions.catalog import sync_catalog
            from chat.management.housekeeping import clean_up
            from chat.management.importing import import_files
            from chat.management.indexing import keep_index
            from chat.management.provider_file import keep_provider_file

            with suppress(DatabaseError):
                await sync_catalog({"demo"})  # without network: the first page has a model to offer
            self._say(_welcome_words(host, bound, welcome))
            changed = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_catalog_fresh(changed))
                group.create_task(keep_provider_file(changed))
                group.create_task(clean_up())
                group.create_task(import_files())
                group.create_task(keep_index())

        server.Server(application, listener, background, self._say).run()

    def _check_settings(self) -> None:
        """Raises `ImproperlyConfigured` for impossible settings, and prints warnings for doubtful ones."""
        found = run_checks(tags=["steady"])
        wrong = [f"{message.msg} {message.hint} ({message.id})" for message in found if message.is_serious()]
        if wrong:
            raise ImproperlyConfigured("\n".join(wrong))
        for message in found:
            self.stderr.write(f"{message.msg} {message.hint} ({message.id})")

    def _say(self, words: str) -> None:
        self.stdout.write(words)
        self.stdout.flush()

    async def _keep_catalog_fresh(self, changed: asyncio.Event) -> None:
        """Asks the providers and the tool servers at the start, every ten minutes, and when the file of
        providers has `changed`. So a provider that was down, or an Ollama that was started later, appears
        without a restart."""
        from chat.actions.catalog import sync_catalog
        from chat.actions.endpoint import use_current_key
        from chat.actions.tool_servers import sync_tool_servers
        from chat.models import Endpoint

        told = False
        while True:
            try:
                await run_write(use_current_key)
                results = await sync_catalog()
                await sync_tool_servers()
                if not told:
                    told = True
                    configured = await run_unit(Endpoint.objects.configs)
                    names = {slug: endpoint.name for slug, endpoint in configured.items()}
                    self._say(_catalog_words(results, names))
                    for message in await run_unit(run_checks, tags=["catalog"], databases=["default"]):
                        self._say(f"{message.msg} {message.hint}")
            except Exception:  # a background task never ends the server
                logger.exception("The catalog could not be updated. The next attempt is in ten minutes.")
            with suppress(TimeoutError):
                async with asyncio.timeout(SYNC_SECONDS):
                    await changed.wait()
            changed.clear()


def _sync_tools() -> None:
    from chat.actions.tools import sync_own_tools

    try:
        with bootstrap.alone():
            sync_own_tools()
    except DatabaseError as error:
        raise StartError(bootstrap.database_words(error)) from error
    finally:
        connection.close()


def _first_admin() -> str | None:
    """Returns the path of the link for the first administrator, while there is none."""
    from chat.actions.first_admin import ensure_first_admin

    try:
        with bootstrap.alone():
            token = ensure_first_admin()
    except DatabaseError as error:
        raise StartError(bootstrap.database_words(error)) from error
    finally:
        connection.close()
    return reverse("first_admin", args=[token]) if token else None


def _welcome_words(host: str, port: int, welcome: str | None) -> str:
    url = _visible_url(host, port)
    lines = [f"Steady is ready: {url}"]
    if welcome:
        lines += [
            "",
            "  Become its administrator here. The link works once, within 24 hours:",
            f"  {url}{welcome}",
            "",
        ]
    lines.append(f"Data: {settings.DATA_DIR.resolve()}. Ctrl+C stops.")
    return "\n".join(lines)


def _catalog_words(results: list[SyncResult], names: dict[str, str]) -> str:
    """Describes which providers were found with how many models, and the faults of the others."""
    found = [f"{names[result.slug]} {result.listed}" for result in results if not result.error]
    failed = [f"{names[result.slug]}: {result.error}" for result in results if result.error]
    return "\n".join([f"Models: {', '.join(found) or 'none'}.", *failed])


def _visible_url(host: str, port: int) -> str:
    """Returns the address to type into a browser: STEADY_URL, or the actual address if it is not set."""
    if settings.STEADY_URL != settings.DEFAULT_URL:
        return str(settings.STEADY_URL)
    everywhere = ":" in host or (host[0].isdigit() and ip_address(host).is_unspecified)
    name = str(urlsplit(settings.STEADY_URL).hostname) if everywhere else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"
