"""How tests open a backup of the simulator's: the click, the worker, the time that passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.db import transaction
from django.utils import timezone
from django_scopes import scope

from tenants.models import Claim, Grant, Membership, Role, Tenant
from tests.conftest import person
from vprotect_bridge import submit as protocol
from vprotect_bridge.browsing import answer_folders, folder_in, root_of
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.follow import follow
from vprotect_bridge.models import FileEntry, Machine, Mount, Operation
from vprotect_bridge.mount_wishes import MountWish, request_mount
from vprotect_bridge.restore_wishes import RestoreWish, request_restore, restore_points
from vprotect_bridge.sync import refresh_backups, sync_inventory
from vprotect_simulator.landscape import PROJECT_UUIDS
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

WEB = guid_of("vm/web-01")
T = TypeVar("T")


def make_opener(api: VProtect) -> Membership:
    """Who may restore and take single files in a tenant with machines of the landscape `small`."""
    tenant = Tenant.objects.create(name="Sunflower", slug="sunflower")
    Claim.across_tenants.create(tenant=tenant, kind=Claim.Kind.TENANT_VALUE, value=PROJECT_UUIDS["aurora-books"])
    for kind in (Grant.Kind.HYPERVISOR, Grant.Kind.CLUSTER):
        guid = guid_of(f"{'manager' if kind == Grant.Kind.HYPERVISOR else 'cluster'}/OPENSTACK")
        Grant.across_tenants.create(tenant=tenant, kind=kind, guid=guid)
    read_mirror(api)
    user = person(tenant, "opener", Role.RESTORER)
    Membership.objects.filter(user=user).update(may_open_backups=True)
    return Membership.objects.select_related("tenant", "user").get(user=user)


def read_mirror(api: VProtect) -> None:
    sync_inventory(api)
    for machine in Machine.across_tenants.exclude(tenant=None):
        refresh_backups(api, machine)


def clicked(member: Membership, act: Callable[[], T]) -> T:
    """As a request of this person's does it."""
    with scope(tenant=member.tenant), transaction.atomic():
        return act()


def ask(
    member: Membership, machine: str = "web-01", *, place: int = 0, key: UUID | None = None, kind: str = "mount"
) -> Operation:
    """`place`: which restore point, counted from the newest."""
    row = Machine.across_tenants.get(guid=guid_of(f"vm/{machine}"))

    def act() -> Operation:
        point = restore_points(row)[place].guid
        if kind == "mount":
            return request_mount(member, row, MountWish(point, 4), client_key=key or uuid4(), address=None)[0]
        wish: Any = {"hypervisor_guid": guid_of("manager/OPENSTACK"), "cluster_guid": guid_of("cluster/OPENSTACK")}
        return request_restore(member, row, RestoreWish(point, name="again", **wish), client_key=uuid4(), address=None)[
            0
        ]

    return clicked(member, act)


def now(operation: Operation) -> Operation:
    return Operation.across_tenants.get(pk=operation.pk)


def look(api: VProtect, simulator: SimulatorServer, operation: Operation, seconds: float) -> Operation:
    simulator.control.advance(seconds)
    Operation.across_tenants.filter(pk=operation.pk).update(followed_at=None)
    follow(api)
    return now(operation)


def open_backup(
    api: VProtect, simulator: SimulatorServer, member: Membership, machine: str = "web-01", *, place: int = 0
) -> Mount:
    """An open backup, as a worker made it."""
    operation = ask(member, machine, place=place)
    protocol.submit(api)
    for seconds in (60, 200, 60, 60):
        look(api, simulator, operation, seconds)
    return Mount.across_tenants.select_related("operation", "backup", "tenant").get(operation=operation)


def entry(api: VProtect, opener: Membership, mount: Mount, path: str, *, system: int = 0) -> FileEntry:
    """What lies there, with every folder on the way looked into, as a person does."""
    *folders, last = path.strip("/").split("/")
    folder = clicked(opener, lambda: root_of(mount, mount.file_systems[system]["guid"]))
    entries = FileEntry.across_tenants.select_related("folder__mount")
    answer_folders(api)
    for name in folders:
        inside = entries.get(folder=folder, name=name)
        folder = clicked(opener, lambda inside=inside: folder_in(inside))
        answer_folders(api)
    return entries.get(folder=folder, name=last)


def settle(api: VProtect, operation: Operation) -> Operation:
    for _ in range(4):
        Operation.across_tenants.update(next_at=timezone.now())
        protocol.reconcile(api)
    return now(operation)
