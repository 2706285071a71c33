"""A tenant in which something of everything has happened, and the address of every page that shows it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone

from tenants.models import AuditEntry, Grant, IdentityProvider, Membership, Tenant, User
from tests.access.conftest import arguments_of, ids_of
from tests.access.matrix import MATRIX
from tests.conftest import machine_of, operation_on
from vprotect_bridge.models import Backup, Destination, Machine, Operation, Plan, Protection, Standing, UpstreamStatus

GIB = 1024**3
# Answers that are no page of their own: parts that a page asks for, files, and what only a machine reads.
NO_PAGES = (
    "healthz",
    "readyz",
    "question",
    "-openapi",
    "-poll",
    "-history",
    "-file",
    "-logo",
    "-download",
    "_download_recovery_codes",
)
EVERY_DAY = {
    "backup_type": "FULL",
    "weekdays": ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY"],
    **{"at": "02:00", "starts": "", "ends": "", "every_minutes": 0, "window_minutes": 360},
    **{"months": [], "occurrences": []},
}


def fill(tenant: Tenant, person: User) -> dict[str, Any]:
    """Machines in each state, backups, work under way and ended, a plan, people. Returns what addresses name."""
    now = timezone.now()
    Membership.objects.filter(tenant=tenant, user=person).update(may_open_backups=True)
    UpstreamStatus.objects.update(inventory_at=now)
    Destination.objects.create(guid="store-1", name="Main store")
    Grant.across_tenants.create(tenant=tenant, kind=Grant.Kind.DESTINATION, guid="store-1")
    provider = IdentityProvider(tenant=tenant, slug="sun", issuer="https://localhost:1", client_id="portal")
    provider.client_secret = "a secret for tests"
    provider.save()
    machine, other = machine_of(tenant, "vm-1"), machine_of(tenant, "vm-2")
    ids = ids_of(tenant, machine, other)
    for number, protection in enumerate(Protection):
        one = machine if number == 0 else machine_of(tenant, f"vm-of-{protection}")
        one.protection, one.platform, one.project_name = protection, "KVM", "web"
        one.present = protection not in {Protection.DELETED, Protection.GONE}
        one.policy_guid = f"p-{tenant.pk}" if protection == Protection.PROTECTED else ""
        one.last_success_at = one.last_backup_at = now - timedelta(hours=3 * number)
        one.last_size, one.last_full_size = 3 * GIB, 40 * GIB
        one.backups_at = one.details_at = now
        one.save()
        Backup.across_tenants.create(guid=f"good-{number}", machine=one, **_backup(tenant, number, "SUCCESS"))
    for number, status in enumerate(("FAILED", "PARTIAL_SUCCESS", "SUCCESS_REMOVED", "INPROGRESS")):
        backup = _backup(tenant, 30 * (number + 1), status)
        Backup.across_tenants.create(guid=f"other-{number}", machine=machine, **backup)
    _work(
        machine,
        list(Machine.across_tenants.filter(tenant=tenant, present=True).exclude(pk__in=[machine.pk, other.pk])),
        person,
    )
    plan = Plan.across_tenants.get(pk=ids["plan_id"])
    plan.schedules, plan.standing, plan.destination_guid = [EVERY_DAY], Standing.ACTING, "store-1"
    # Read just now, however long a test takes.
    plan.held_at = now + timedelta(hours=1)
    plan.time_zone, plan.has_incremental = "Europe/Warsaw", True
    plan.save()
    for action in ("backup_requested", "plan_create", "member_invited", "settings_changed"):
        AuditEntry.across_tenants.create(
            tenant=tenant,
            actor=person,
            actor_name=person.email,
            role="admin",
            action=action,
            machine_guid=machine.guid,
            machine_name=machine.name,
            outcome="accepted",
        )
    return ids | {
        "tenant": tenant.slug,
        "slug": "sun",
        "token": "unknown",
        "key": "unknown",
        "uidb36": "1",
        "pk": 1,
    }


def _backup(tenant: Tenant, hours: int, status: str) -> dict[str, Any]:
    at = timezone.now() - timedelta(hours=hours + 1)
    return {
        **{"tenant": tenant, "status": status, "type": "FULL", "sort_at": at, "backup_at": at, "size": 7 * GIB},
        **{"duration_ms": 4_000_000, "export_ms": 3_000_000, "store_ms": 900_000, "status_info": "no space left"},
        "destinations": [{"guid": "store-1", "name": "Main store", "status": "PRESENT"}],
        "warnings": ["a disk was left out"] if status == "PARTIAL_SUCCESS" else [],
    }


def _work(machine: Machine, others: list[Machine], person: User) -> None:
    """Under way in each phase, and ended in each way. One machine has one backup under way at most."""
    accepted = Operation.Submission.ACCEPTED
    under_way = (("queued", 0), ("exporting", 40), ("storing", 80))
    for one, (phase, progress) in zip((machine, *others), under_way, strict=False):
        operation_on(one, submission=accepted, phase=phase, progress=progress, place_in_line=3, created_by=person)
    restore = {"backup_guid": "good-0", "name": "web-01-copy", "cluster_name": "Cluster 1"}
    operation_on(machine, kind="restore", request=restore, submission=accepted, phase="importing", created_by=person)
    for outcome in Operation.Outcome:
        if outcome:
            operation_on(machine, submission=accepted, outcome=outcome, created_by=person, progress=100)


def pages(ids: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """The address of every page that an administrator can open, by the name of its route."""
    names = [name for name, row in MATRIX.items() if row["GET"].get("admin") == 200 and name.startswith(prefix)]
    return {name: reverse(name, kwargs=arguments_of(name, ids)) for name in names if not name.endswith(NO_PAGES)}
