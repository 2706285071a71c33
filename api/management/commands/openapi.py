"""Prints the API's description: manage.py openapi > docs/openapi.json"""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from api.document import document


class Command(BaseCommand):
    help = "Prints the API in OpenAPI 3.1."

    def handle(self, *args: Any, **options: Any) -> None:
        described = {**document(), "servers": [{"url": "https://portal.example"}]}
        self.stdout.write(json.dumps(described, indent=2, ensure_ascii=False))
