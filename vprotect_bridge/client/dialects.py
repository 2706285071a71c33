"""What the two generations of vProtect want to be asked differently (API reference, chapter 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class ExportRequest:
    """A backup of one machine. Windows are epoch milliseconds; `rule_guids` only the current dialect knows."""

    vm_guid: str
    backup_type: str
    destination_guid: str
    window_start_ms: int
    window_end_ms: int
    priority: int = 50
    rule_guids: tuple[str, ...] = ()


class Dialect(Protocol):
    tenant_filter: str

    def export_body(self, request: ExportRequest) -> dict[str, Any]: ...


class Classic:
    """3.8–4.x, the guide."""

    tenant_filter = "tenantid"

    def export_body(self, request: ExportRequest) -> dict[str, Any]:
        return {**_common(request), "backupDestination": {"guid": request.destination_guid}}


class Current:
    """5.0–7.x."""

    tenant_filter = "project-uuid"

    def export_body(self, request: ExportRequest) -> dict[str, Any]:
        rules = [{"guid": guid} for guid in request.rule_guids]
        return {**_common(request), "rules": rules, "retryCount": 0, "protectedEntityType": "VM", "async": True}


DIALECTS: dict[str, Dialect] = {"classic": Classic(), "current": Current()}


def _common(request: ExportRequest) -> dict[str, Any]:
    return {
        "protectedEntities": [{"guid": request.vm_guid}],
        "backupType": {"name": request.backup_type},
        "priority": request.priority,
        "windowStart": request.window_start_ms,
        "windowEnd": request.window_end_ms,
    }
