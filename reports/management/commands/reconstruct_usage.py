from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from reports.record import reconstruct_usage, record_usage


class Command(BaseCommand):
    help = (
        "Puts together what was kept on days before the record of usage began, from the restore points that are still "
        "there: the least that it was. Days that have a record are not touched. Runs as a worker."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, default=60, help="how far back from today (default: 60)")

    def handle(self, *args: Any, **options: Any) -> None:
        record_usage()
        rows = reconstruct_usage(timezone.now().date() - timedelta(days=options["days"]))
        self.stdout.write(f"{rows} rows were put together.")
