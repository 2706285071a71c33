"""Where what tenants own and what vProtect holds have come apart: for operators, who put it right."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet

from tenants.models import Claim
from vprotect_bridge.models import Machine, Operation, OwnerChange


def unclaimed_machines() -> QuerySet[Machine]:
    """Nobody's, and still there."""
    return Machine.across_tenants.filter(tenant=None, vanished_at=None).order_by("name", "guid")


def claims_of_nothing() -> QuerySet[Claim]:
    """Of a machine that vProtect does not list, or a tenantId value that made no machine anybody's."""
    living = Machine.across_tenants.filter(vanished_at=None)
    by_guid = living.filter(guid=OuterRef("value"))
    by_value = living.filter(owner_value=OuterRef("value")).exclude(owned_by=Machine.OwnedBy.CLAIM)
    is_machine = Q(kind=Claim.Kind.MACHINE)
    claims = Claim.across_tenants.select_related("tenant").order_by("tenant__name", "value")
    return claims.filter(is_machine & ~Exists(by_guid) | ~is_machine & ~Exists(by_value))


def owner_changes() -> QuerySet[OwnerChange]:
    """That nobody has settled: machines that left a tenant or a project."""
    return OwnerChange.objects.filter(settled_at=None).select_related("machine", "was", "now").order_by("-at")


def restores_without_owner() -> QuerySet[Operation]:
    """That made a machine of which vProtect did not tell the GUID, or one that another tenant had claimed before."""
    done = [Operation.Outcome.SUCCEEDED, Operation.Outcome.PARTIAL]
    restores = Operation.across_tenants.filter(
        kind=Operation.Kind.RESTORE, origin=Operation.Origin.PORTAL, outcome__in=done
    )
    earlier = Claim.across_tenants.filter(
        kind=Claim.Kind.MACHINE, value=OuterRef("restored_guid"), created_at__lt=OuterRef("created_at")
    ).exclude(tenant=OuterRef("tenant"))
    waiting = restores.filter(Q(restored_guid="") | Exists(earlier))
    return waiting.select_related("tenant", "machine").order_by("-finished_at")


def candidates(restore: Operation) -> QuerySet[Machine]:
    """Machines that one of these may have become; it is an operator who says so.

    Nobody's, of the name that was asked for; or the tenant's by another rule, of that name and not seen before.
    """
    nobodys = Q(tenant=None)
    its_own = Q(tenant=restore.tenant_id, first_seen_at__gte=restore.created_at)
    living = Machine.across_tenants.filter(nobodys | its_own, vanished_at=None)
    return living.filter(name=restore.request.get("name") or "\x01").order_by("name", "guid")
