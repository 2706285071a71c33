"""`manage.py reencrypt`, as the operator: after a new SECRET_KEY, before the former one is forgotten."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from tenants.key_rotation import reencrypt_all


class Command(BaseCommand):
    help = "Encrypts with the present SECRET_KEY what was encrypted with one of SECRET_KEY_FALLBACKS."

    def handle(self, *args: Any, **options: Any) -> None:
        counts = reencrypt_all()
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        self.stdout.write(f"Encrypted anew: {told}. When sessions have ended (8 hours), the former key may go.")
