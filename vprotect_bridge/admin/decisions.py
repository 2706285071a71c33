"""What operators decide is audited in one way."""

from django.http import HttpRequest

from tenants.audit import address_of, record
from tenants.models import Tenant
from vprotect_bridge.models import (
    Machine,
)


def audit(
    request: HttpRequest, tenant: Tenant | None, action: str, machine: Machine | None = None, **detail: str | int
) -> None:
    record(
        tenant,
        request.user,
        "operator",
        action,
        address=address_of(request),
        machine_guid=machine.guid if machine else "",
        machine_name=machine.name if machine else "",
        **detail,
    )
