"""How tests open a backup of the simulator's: the click, the worker, the time that passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.db import transaction
from django.utils import timezone
from django_scopes import scope

from tenants.models import Membership
from vprotect_bridge import submit as protocol
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.follow import follow
from vprotect_bridge.models import Machine, Mount, Operation
from vprotect_bridge.mount_wishes import MountWish, request_mount
from vprotect_bridge.restore_wishes import RestoreWish, request_restore, restore_points
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

WEB = guid_of("vm/web-01")
T = TypeVar("T")


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


def settle(api: VProtect, operation: Operation) -> Operation:
    for _ in range(4):
        Operation.across_tenants.update(next_at=timezone.now())
        protocol.reconcile(api)
    return now(operation)
