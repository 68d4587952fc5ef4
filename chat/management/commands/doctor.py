"""`manage.py doctor` checks what an installation needs and names the fix of each fault."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from chat.diagnosis.connection_token import SILENCE_SECONDS
from chat.diagnosis.findings import Finding
from chat.diagnosis.network_checks import check_network
from chat.diagnosis.server_checks import check_server
from chat.providers.registry import close_all


class Command(BaseCommand):
    help = "Tries the database, Redis, the providers, and the way through proxies; names what to change."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", default=settings.STEADY_URL, help="as people reach the running server")
        parser.add_argument(
            "--silence",
            type=float,
            default=SILENCE_SECONDS,
            help="seconds for which a connection says nothing",
        )

        parser.add_argument(
            "--ask", action="store_true", help="ask each provider a short question, which costs a little"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        findings = asyncio.run(_findings(options["url"].rstrip("/"), options["silence"], options["ask"]))
        for finding in findings:
            self._print(finding)
        if not all(finding.ok for finding in findings):
            sys.exit(1)

    def _print(self, finding: Finding) -> None:
        style = self.style.SUCCESS if finding.ok else self.style.ERROR
        self.stdout.write(f"{style('ok  ' if finding.ok else 'FAIL')} {finding.name}: {finding.words}")
        if finding.fix:
            self.stdout.write(f"     {finding.fix}")
        for proxy, fix in finding.proxies.items():
            self.stdout.write(f"     {proxy}: {fix}")


async def _findings(url: str, silence: float, asks: bool) -> list[Finding]:
    try:
        server, network = await asyncio.gather(check_server(asks=asks), check_network(url, silence=silence))
    finally:
        await close_all()
    return [*server, *network]
