from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from vprotect_bridge.check import Level, Where, check


class Command(BaseCommand):
    help = "Says in words how the configured vProtect is: connection, dialect, rights, filters. It changes nothing."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        if not hasattr(settings, "VPROTECT_URL"):
            raise CommandError("Only a worker may speak to vProtect: run it with PORTAL_PROCESS=worker.")
        where = Where(
            url=settings.VPROTECT_URL,
            login=settings.VPROTECT_LOGIN,
            password=settings.VPROTECT_PASSWORD,
            ca_file=settings.VPROTECT_CA_FILE,
            dialect=settings.VPROTECT_DIALECT,
            timeout=settings.VPROTECT_SECONDS["timeout"],
        )
        if options["verbosity"] < 2:
            # What a person reads here must not be cut up by the log.
            logging.getLogger("vprotect_bridge.client").setLevel(logging.WARNING)
        self.stdout.write(f"vProtect at {where.url}")
        problems = 0
        for heading, findings in check(where):
            self.stdout.write(f"\n{heading}")
            for finding in findings:
                self.stdout.write(f"  {finding.level.value:8}{finding.sentence}")
            problems += sum(finding.level is Level.PROBLEM for finding in findings)
        if problems:
            raise CommandError(f"{problems} {'problem' if problems == 1 else 'problems'}: see PROBLEM above.")
        self.stdout.write("\nThe portal can work with it.")
