"""The audit as CSV, in UTC; no cell is taken for a formula."""

from __future__ import annotations

import csv
import json

from django.db.models import QuerySet
from django.http import HttpResponse

from tenants.models import AuditEntry
from tenants.spreadsheets import safe_cell

COLUMNS = ("at", "who", "role", "from", "action", "machine", "machine GUID", "detail", "outcome", "correlation")
# What a process can hold; a filter by day gets at the rest.
MOST_ROWS = 100_000


def audit_file(entries: QuerySet[AuditEntry], name: str, *, names_tenants: bool = False) -> HttpResponse:
    """To be saved as `<name>.csv`; the newest `MOST_ROWS` of the entries, in the order they have."""
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    writer = csv.writer(answer)
    writer.writerow([*(["tenant"] if names_tenants else []), *COLUMNS])
    for entry in entries[:MOST_ROWS].iterator(chunk_size=500):
        cells: list[object] = [
            *(entry.at.isoformat(), _who(entry), entry.role, entry.address, entry.action),
            *(entry.machine_name, entry.machine_guid, json.dumps(entry.detail, ensure_ascii=False)),
            *(entry.outcome, entry.correlation_id),
        ]
        writer.writerow(safe_cell(cell) for cell in ([entry.tenant] if names_tenants else []) + cells)
    return answer


def _who(entry: AuditEntry) -> str:
    """For programs too, so in English."""
    return f"API token {entry.tenants_token} (of the organisation)" if entry.tenants_token else entry.actor_name
