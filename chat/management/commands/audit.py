"""`manage.py audit verify` checks that the audit record of administration is intact."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chat.models.audit import faults_of_record, has_head, head_of_record


class Command(BaseCommand):
    help = "Checks the record of what administrators did. Exit code 1 if it was changed."

    def add_arguments(self, parser: CommandParser) -> None:
        verify = parser.add_subparsers(dest="what", required=True).add_parser("verify")
        verify.add_argument("--head", help="A head that was noted earlier: it must still be there.")

    def handle(self, *args: Any, **options: Any) -> None:
        faults = list(faults_of_record())
        if options["head"] and not has_head(options["head"]):
            faults.append(f"Missing or changed: the entry of the noted head {options['head']}.")
        if faults:
            raise CommandError("\n".join(["The record was changed.", *faults]))
        head = head_of_record()
        self.stdout.write(f"The record is whole: {head.partition(':')[0]} entries.")
        self.stdout.write(f"Head: {head}")
        self.stdout.write(
            "Note the head elsewhere: with --head it shows later that nothing was cut off the end."
        )
