"""Rows that only workers or the application itself write."""

from typing import Any

from django.db.models import Model
from django.http import HttpRequest


class ReadOnlyAdmin:
    """For rows that only workers or the application itself write."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
