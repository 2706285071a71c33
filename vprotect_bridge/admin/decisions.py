"""What operators decide, from whichever page, is done and audited in one way."""

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _

from tenants.audit import address_of, record
from tenants.models import Claim, Tenant
from vprotect_bridge import drift
from vprotect_bridge.models import Machine, Operation


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


@transaction.atomic
def name_restored(request: HttpRequest, restores: QuerySet[Operation], guid: str) -> tuple[Any, int]:
    """Gives the machine, nobody's or the tenant's, to the one restore of these that waits; what to say of it."""
    waiting = list(drift.restores_without_owner().filter(pk__in=restores.values("pk"))[:2])
    machine = Machine.across_tenants.filter(guid=guid, vanished_at=None).first()
    if len(waiting) != 1 or machine is None or machine.tenant_id not in {None, waiting[0].tenant_id}:
        return _("Choose one restore that waits, and name the GUID of a machine that nobody owns."), messages.ERROR
    (operation,) = waiting
    if machine.tenant_id is None:
        Claim.across_tenants.create(tenant=operation.tenant, kind=Claim.Kind.MACHINE, value=machine.guid)
    Operation.across_tenants.filter(pk=operation.pk).update(restored_guid=machine.guid)
    audit(request, operation.tenant, "claim_machine", machine, operation=str(operation.pk))
    return _("The machine belongs to %(tenant)s now.") % {"tenant": operation.tenant}, messages.SUCCESS
