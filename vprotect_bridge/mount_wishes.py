"""What people may ask of a backup that they want single files of: open it, close it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.audit import record_of
from tenants.models import Membership, Tenant
from tenants.people import lock
from vprotect_bridge.doorbell import ring_mounts
from vprotect_bridge.models import Backup, Machine, Mount, Operation
from vprotect_bridge.mounting import may_open
from vprotect_bridge.restore_wishes import keep_of_backup, restore_points
from vprotect_bridge.services import WishRefused, audit, keep_once, operation_there

HOURS = (1, 4, 8, 24)
# Where mounts lie on a node; the rest of the path is ours alone and tells nothing of whose it is.
BELOW = "/mnt/vprotect"


@dataclass(frozen=True)
class MountWish:
    """`hours` until it closes by itself."""

    backup_guid: str
    hours: int


def open_mounts(tenant: Tenant) -> QuerySet[Mount]:
    return Mount.objects.filter(tenant=tenant, closed_at=None)


def mount_of(backup: Backup) -> Mount | None:
    """The one that shows this backup already, if one does."""
    shown = Mount.objects.filter(backup=backup, closed_at=None, close_wanted_at=None, closes_at__gt=timezone.now())
    return shown.first()


def mounts_in_use(tenant: Tenant) -> int:
    """Open ones, and those that are on their way."""
    on_their_way = Operation.objects.filter(
        tenant=tenant, kind=Operation.Kind.MOUNT, origin=Operation.Origin.PORTAL, outcome="", mount=None
    )
    return open_mounts(tenant).count() + on_their_way.count()


def request_mount(
    membership: Membership, machine: Machine, wish: MountWish, *, client_key: UUID, address: str | None
) -> tuple[Operation, bool]:
    """Keeps the wish and rings for a worker; returns its operation and whether this call made it.

    The same `client_key` again, and a wish for a machine of which a backup is being opened, return the operation that
    is there. Raises `WishRefused` for what can never work.
    """
    if there := operation_there(membership, machine, client_key, Operation.Kind.MOUNT):
        return there, False
    backup = _checked(membership, machine, wish)
    return keep_once(
        *(membership, machine, client_key, Operation.Kind.MOUNT),
        keep=lambda: _keep(membership, machine, backup, wish, client_key, address),
        otherwise=_("A backup of this machine is being opened already. Wait a moment."),
    )


def _checked(membership: Membership, machine: Machine, wish: MountWish) -> Backup:
    if not may_open(membership, machine.guid):
        raise WishRefused(_("You may not take single files out of backups."))
    backup = restore_points(machine).filter(guid=wish.backup_guid).first()
    if backup is None:
        raise WishRefused(_("Choose one of the restore points that are offered."), "backup")
    if wish.hours not in HOURS:
        raise WishRefused(_("Choose one of the times that are offered."), "hours")
    return backup


def _check_cap(tenant: Tenant) -> None:
    cap = Tenant.objects.values_list("mount_cap", flat=True).get(pk=tenant.pk)
    in_use = mounts_in_use(tenant)
    if cap == 0:
        raise WishRefused(_("Your provider does not offer single files out of backups to your organisation."))
    if in_use >= cap:
        sentence = _("Your organisation may have %(cap)d backups open at once, and %(in_use)d are. Close one first.")
        raise WishRefused(sentence % {"in_use": in_use, "cap": cap})


def _keep(
    membership: Membership,
    machine: Machine,
    backup: Backup,
    wish: MountWish,
    client_key: UUID,
    address: str | None,
) -> Operation:
    # Two clicks at the same moment take turns, so that the second one is counted.
    lock(membership.tenant)
    _check_cap(membership.tenant)
    request = {"hours": wish.hours, "mount_path": f"{BELOW}/{secrets.token_hex(16)}"}
    operation = keep_of_backup(membership, machine, Operation.Kind.MOUNT, backup, request, client_key)
    kept = {name: value for name, value in operation.request.items() if name != "mount_path"}
    audit(membership, "mount_requested", operation, address, kept)
    return operation


def request_close(membership: Membership, mount: Mount, *, address: str | None) -> bool:
    """Keeps the wish; from now on nobody looks into it any more. False = it was closed, or is being closed, before."""
    with transaction.atomic():
        still_open = Mount.objects.filter(pk=mount.pk, closed_at=None, close_wanted_at=None)
        if not still_open.update(close_wanted_at=timezone.now()):
            return False
        record_of(
            membership,
            "close_requested",
            address=address,
            machine_guid=mount.machine_guid,
            machine_name=mount.machine_name,
            mount=str(mount.pk),
        )
    transaction.on_commit(ring_mounts, robust=True)
    return True
