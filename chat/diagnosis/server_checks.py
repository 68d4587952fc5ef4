"""Checks from inside the server process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime

from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now

from chat.actions.catalog import ask_providers
from chat.database import run_unit
from chat.diagnosis.endpoint_checks import check_endpoint, enabled_models, fix_of
from chat.diagnosis.findings import Finding
from chat.models import Endpoint

SLOW_DATABASE_SECONDS = 0.1
REDIS_SECONDS = 3.0
CLOCK_SECONDS = 5.0


async def check_server(*, asks: bool = False) -> list[Finding]:
    """Runs all checks at the same time; takes some seconds at most. Asks each provider for its list of
    models, which is free, and with `asks` a short question, which is not."""
    database, redis, providers = await asyncio.gather(run_unit(_database), _redis(), _providers(asks))
    return [*database, redis, *providers]


def _database() -> list[Finding]:
    """Checks that the database accepts writes, how fast, and that its clock agrees with this machine's."""
    name = "SQLite" if settings.SQLITE else "PostgreSQL"
    seconds = 0.0
    try:
        for _attempt in range(3):  # the first one loads the driver and connects
            started = time.monotonic()
            with transaction.atomic():
                # A write that changes nothing, and is rolled back.
                Endpoint.objects.filter(pk="").update(name="")
                transaction.set_rollback(True)
            seconds = time.monotonic() - started
            if seconds <= SLOW_DATABASE_SECONDS:
                break
        there = _clock()
    except DatabaseError as error:
        return [Finding("Database", False, f"{name} does not answer: {error}", _database_fix())]
    words = f"{name} accepts writes; one took {seconds * 1000:.0f} ms."
    slow = seconds > SLOW_DATABASE_SECONDS
    found = [Finding("Database", not slow, words, _database_fix() if slow else "")]
    apart = abs((datetime.now(UTC) - there).total_seconds())
    late = apart > CLOCK_SECONDS
    clock_fix = "Synchronize the clocks of both machines: timedatectl set-ntp true." if late else ""
    return [*found, Finding("Clock", not late, f"The database's clock is {apart:.1f} s apart.", clock_fix)]


def _clock() -> datetime:
    provider = Endpoint.objects.annotate(now=Now()).values_list("now", flat=True).first()
    if provider is not None:
        return provider
    with connection.cursor() as cursor:  # an empty catalog
        cursor.execute("SELECT CURRENT_TIMESTAMP")
        value = cursor.fetchone()[0]
    return datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value


def _database_fix() -> str:
    if settings.SQLITE:
        return "Put STEADY_DATA_DIR on a local disk with free space, not on a network share."
    return "Check DATABASE_URL, the server's load, and the network to it; Steady needs answers within 10 ms."


async def _redis() -> Finding:
    layer = get_channel_layer()
    if layer is None or isinstance(layer, InMemoryChannelLayer):
        if settings.SQLITE:
            return Finding("Redis", True, "Not needed: there is one server process.")
        return Finding(
            "Redis",
            False,
            "REDIS_URL is not set. One process works; several exchange updates with a delay.",
            "Set REDIS_URL for all server processes.",
        )
    started = time.monotonic()
    try:
        async with asyncio.timeout(REDIS_SECONDS):
            channel = await layer.new_channel()
            await layer.send(channel, {"type": "self.test"})
            await layer.receive(channel)
    except Exception as error:  # noqa: BLE001  (any exception of redis-py is a finding)
        fix = "Check REDIS_URL, and that Redis runs and is reachable from here."
        return Finding("Redis", False, f"Redis does not answer ({type(error).__name__}).", fix)
    return Finding(
        "Redis", True, f"A message there and back took {(time.monotonic() - started) * 1000:.0f} ms."
    )


async def _providers(asks: bool) -> list[Finding]:
    results = await ask_providers()
    configured = await run_unit(Endpoint.objects.configs)
    names = {endpoint.slug: endpoint.name for endpoint in configured.values()}
    if not results:
        fix = "Set the key of one, such as OPENAI_API_KEY, or OLLAMA_URL: docs/settings.md."
        return [Finding("Providers", False, "No model provider is set up.", fix)]
    found = []
    for result in results:
        name, endpoint = names[result.slug], configured[result.slug]
        if result.error:
            fix = await fix_of(endpoint) or "Try again: it answers now."
            found.append(Finding(name, False, f"{result.error} {result.detail}".strip(), fix))
            continue
        found.append(Finding(name, True, f"Lists {result.listed} models. {result.remark}".strip()))
        if asks:
            models = await run_unit(enabled_models, result.slug)
            steps = await check_endpoint(endpoint, models=models)
            found += [replace(step, name=f"{name}, {step.name}") for step in steps]
    return found
