"""What people may ask of vProtect when they want a machine back (guide, "Restoring specified VM")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.audit import acting_token
from tenants.correlation import correlation_id
from tenants.models import Grant, Membership, Role
from vprotect_bridge.models import Backup, Cluster, Hypervisor, Machine, Operation, Storage
from vprotect_bridge.restoring import RESTORABLE
from vprotect_bridge.services import WishRefused, audit, first_event, keep_once, operation_there

# One asked for during an outage must not start at night.
STARTS_WITHIN = timedelta(hours=1)


@dataclass(frozen=True)
class Platform:
    """What a platform wants to know of a restore (API reference, 6.4), and how it lets machines be named."""

    needs_cluster: bool = False
    needs_storage: bool = False
    needs_project: bool = False
    needs_data_center: bool = False
    longest_name: int = 64
    name: str = r"[A-Za-z0-9][A-Za-z0-9._-]*"


NO_SLASH = r"[^/\\\x00-\x1f]+"
OPENSTACK = Platform(needs_cluster=True, needs_project=True, longest_name=255, name=NO_SLASH)
KUBERNETES = Platform(needs_project=True, longest_name=63, name=r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
OVIRT = Platform(needs_cluster=True, needs_storage=True, name=r"[\w.-]+")
PLATFORMS = {
    "OPENSTACK": OPENSTACK,
    "RHV": OVIRT,
    "RHEV": OVIRT,
    "KVM": Platform(),
    "NUTANIX": Platform(needs_storage=True),
    "PROXMOX": Platform(needs_storage=True, name=r"[A-Za-z0-9][A-Za-z0-9.-]*"),
    "XEN": Platform(needs_storage=True),
    "CITRIX": Platform(needs_storage=True),
    "ESXI": Platform(needs_storage=True),
    "HYPERV": Platform(needs_storage=True),
    "ORACLE": Platform(needs_cluster=True, needs_storage=True),
    "VCENTER": Platform(needs_cluster=True, needs_storage=True, needs_data_center=True, longest_name=80, name=NO_SLASH),
    "KUBERNETES": KUBERNETES,
    "OPENSHIFT": KUBERNETES,
}


@dataclass(frozen=True)
class RestoreWish:
    """What a person chose, by GUID, a data center by name. An empty `name` keeps the machine's original one."""

    backup_guid: str
    hypervisor_guid: str
    cluster_guid: str = ""
    storage_guid: str = ""
    data_center: str = ""
    name: str = ""


@dataclass(frozen=True)
class RestorePlace:
    """A wish whose GUIDs were found among what the tenant may use."""

    backup: Backup
    hypervisor: Hypervisor
    cluster: Cluster | None
    storage: Storage | None
    data_center: str
    name: str


def restore_points(machine: Machine) -> QuerySet[Backup]:
    """Backups that can be restored: good ones, with a copy present where the server tells; newest first."""
    good = Backup.objects.filter(machine=machine, status__in=RESTORABLE, vanished_at__isnull=True)
    without_copy = good.exclude(destinations=[]).exclude(destinations__contains=[{"status": "PRESENT"}])
    return good.exclude(pk__in=without_copy.values("pk")).order_by("-sort_at")


def restore_targets(machine: Machine) -> QuerySet[Hypervisor]:
    """Where this machine may be made again: of its platform, and granted."""
    if machine.platform not in PLATFORMS:
        return Hypervisor.objects.none()
    of_platform = Hypervisor.objects.filter(platform=machine.platform, vanished_at__isnull=True)
    return of_platform.filter(guid__in=_granted(Grant.Kind.HYPERVISOR))


def clusters_of(hypervisor: Hypervisor) -> QuerySet[Cluster]:
    return hypervisor.clusters.filter(guid__in=_granted(Grant.Kind.CLUSTER), vanished_at__isnull=True)


def storages_of(hypervisor: Hypervisor) -> QuerySet[Storage]:
    return hypervisor.storages.filter(guid__in=_granted(Grant.Kind.STORAGE), vanished_at__isnull=True)


def data_centers() -> list[str]:
    """By the names that the operator typed; vProtect has no list of them (API reference, 13)."""
    return list(Grant.objects.filter(kind=Grant.Kind.DATA_CENTER).order_by("name").values_list("name", flat=True))


def _granted(kind: str) -> QuerySet[Grant, Any]:
    return Grant.objects.filter(kind=kind).values("guid")


def check_restore(membership: Membership, machine: Machine, wish: RestoreWish) -> RestorePlace:
    """Finds what the wish names among what the tenant may use. Raises `WishRefused` for what can never work."""
    if not membership.may(Role.RESTORER):
        raise WishRefused(_("Your role does not allow you to restore machines."))
    backup = restore_points(machine).filter(guid=wish.backup_guid).first()
    if backup is None:
        raise WishRefused(_("Choose one of the restore points that are offered."), "backup")
    hypervisor = restore_targets(machine).filter(guid=wish.hypervisor_guid).first()
    if hypervisor is None:
        raise WishRefused(_("Choose one of the places that are offered."), "hypervisor")
    platform = PLATFORMS[machine.platform]
    if platform.needs_project and not machine.project_name:
        raise WishRefused(_("The project of this machine is not known, so it cannot be restored from here."))
    cluster = clusters_of(hypervisor).filter(guid=wish.cluster_guid).first()
    if cluster is None and (platform.needs_cluster or wish.cluster_guid):
        raise WishRefused(_("Choose one of the clusters that are offered."), "cluster")
    storage = storages_of(hypervisor).filter(guid=wish.storage_guid).first()
    if storage is None and (platform.needs_storage or wish.storage_guid):
        raise WishRefused(_("Choose one of the storages that are offered."), "storage")
    _check_storage(machine, backup, cluster, storage)
    if platform.needs_data_center and wish.data_center not in data_centers():
        raise WishRefused(_("Choose one of the data centers that are offered."), "data_center")
    data_center = wish.data_center if platform.needs_data_center else ""
    name = _checked_name(membership, machine, wish.name.strip(), platform)
    return RestorePlace(backup, hypervisor, cluster, storage, data_center, name)


def _check_storage(machine: Machine, backup: Backup, cluster: Cluster | None, storage: Storage | None) -> None:
    if storage is None:
        return
    if cluster is not None and storage.cluster_guids and cluster.guid not in storage.cluster_guids:
        raise WishRefused(_("This cluster cannot use that storage."), "storage")
    # An incremental backup is small, but all of the machine is made again.
    needed = max(backup.size, machine.last_full_size or 0)
    if storage.free is not None and storage.free < needed:
        raise WishRefused(_("There is not enough free space on that storage."), "storage")


def _checked_name(membership: Membership, machine: Machine, name: str, platform: Platform) -> str:
    """Empty = the original name, which must then be free.

    Among the machines that the person may see: for others, "taken" would tell that they exist.
    """
    if name and (len(name) > platform.longest_name or not re.fullmatch(platform.name, name)):
        raise WishRefused(_("The platform does not allow this name."), "name")
    taken = Machine.objects.filter(name__iexact=name or machine.name, present=True, vanished_at__isnull=True)
    if membership.machine_guids is not None:
        taken = taken.filter(guid__in=membership.machine_guids)
    if taken.exists():
        raise WishRefused(_("There is a machine of this name. Choose another one: nothing is replaced."), "name")
    return name


def request_restore(
    membership: Membership, machine: Machine, wish: RestoreWish, *, client_key: UUID, address: str | None
) -> tuple[Operation, bool]:
    """Keeps the wish and rings for a worker; returns its operation and whether this call made it.

    The same `client_key` again, and a wish for a machine that is being restored, return the operation that is there.
    Raises `WishRefused` for what can never work.
    """
    there = operation_there(membership, machine, client_key, Operation.Kind.RESTORE)
    if there:
        return there, False
    place = check_restore(membership, machine, wish)
    return keep_once(
        *(membership, machine, client_key, Operation.Kind.RESTORE),
        keep=lambda: _keep(membership, machine, place, client_key, address),
        otherwise=_("This machine is being restored already. Wait until it has finished."),
    )


def _keep(
    membership: Membership, machine: Machine, place: RestorePlace, client_key: UUID, address: str | None
) -> Operation:
    request = _frozen(machine, place)
    operation = keep_of_backup(membership, machine, Operation.Kind.RESTORE, place.backup, request, client_key)
    audit(membership, "restore_requested", operation, address, operation.request)
    return operation


def keep_of_backup(
    membership: Membership, machine: Machine, kind: str, backup: Backup, request: dict[str, Any], client_key: UUID
) -> Operation:
    """The wish to read a backup, to restore or to open it, as a row with its first event."""
    now = timezone.now()
    # It has no window that could mark it; these only keep the pair unique, also beside the other kind.
    until = now + STARTS_WITHIN + timedelta(milliseconds=1 if kind == Operation.Kind.MOUNT else 0)
    operation = Operation.objects.create(
        tenant=membership.tenant,
        kind=kind,
        machine=machine,
        subject_guid=machine.guid,
        created_by_id=membership.user_id,
        token_id=acting_token.get().id,
        token_name=acting_token.get().name,
        client_key=client_key,
        correlation_id=correlation_id.get(),
        request={"backup_guid": backup.guid, "backup_at": backup.sort_at.isoformat(), **request},
        backup_guid=backup.guid,
        marker_ws_ms=int(now.timestamp() * 1000),
        marker_we_ms=int(until.timestamp() * 1000),
        deadline_at=now + STARTS_WITHIN,
    )
    first_event(operation).save(force_insert=True)
    return operation


def _frozen(machine: Machine, place: RestorePlace) -> dict[str, Any]:
    """All that the worker will send, and what has to be granted still when it does."""
    parts = (
        (Grant.Kind.HYPERVISOR, place.hypervisor),
        (Grant.Kind.CLUSTER, place.cluster),
        (Grant.Kind.STORAGE, place.storage),
    )
    grants = [[kind.value, part.guid] for kind, part in parts if part is not None]
    if place.data_center:
        grants.append([Grant.Kind.DATA_CENTER.value, place.data_center])
    needs_project = PLATFORMS[machine.platform].needs_project
    return {
        "hypervisor_guid": place.hypervisor.guid,
        "is_manager": place.hypervisor.is_manager,
        "cluster_uuid": place.cluster.uuid if place.cluster else "",
        "cluster_name": place.cluster.name if place.cluster else "",
        "storage_uuid": place.storage.uuid if place.storage else "",
        "storage_name": place.storage.name if place.storage else "",
        "project_name": machine.project_name if needs_project else "",
        "data_center": place.data_center,
        "name": place.name,
        "grants": grants,
    }
