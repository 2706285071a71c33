"""Where what an address of a report names becomes an object (see `portal.access`)."""

from __future__ import annotations

from uuid import UUID

from django.shortcuts import get_object_or_404

from reports.files import own_files
from reports.models import ReportFile
from tenants.middleware import TenantRequest


def file_for(request: TenantRequest, file_id: UUID) -> ReportFile:
    """One's own, of what one may see now. Foreign, unknown and not any more are told alike: 404."""
    return get_object_or_404(own_files(request.membership), pk=file_id)
