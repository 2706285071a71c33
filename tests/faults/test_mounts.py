"""Opening and closing a backup under faults: one mount that we know of or an honest word, nothing for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.utils import timezone

from tenants.models import Membership
from tests.faults.conftest import FAILPOINTS, Killed, killed
from tests.faults.test_failpoints import REPLIES, name_of
from tests.shapes import WatchedSimulator
from tests.vprotect_bridge.conftest import Saved, bring_back, mirrored_once, one_connection  # noqa: F401 — fixtures
from tests.vprotect_bridge.opened import ask, clicked, now, open_backup
from vprotect_bridge import mounting, mounts
from vprotect_bridge import submit as protocol
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import UpstreamError
from vprotect_bridge.follow import follow
from vprotect_bridge.models import Mount, Operation
from vprotect_bridge.mount_wishes import request_close
from vprotect_simulator.server import SimulatorServer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("one_connection")]

MOUNTING, UNMOUNTING = "/tasks/restore-and-mount", "/tasks/unmount"
LOST: tuple[dict[str, Any], ...] = ({"kind": "reset", "when": "before"}, {"kind": "reset", "when": "after"})
OTHERS = [reply for reply in REPLIES if reply and reply not in LOST]


@pytest.fixture
def opener(mirrored_once: Saved, db: None, simulator: WatchedSimulator, settings: Any) -> Membership:  # noqa: F811
    settings.VPROTECT_SECONDS = {**settings.VPROTECT_SECONDS, "settle": 0.0}
    bring_back(mirrored_once, simulator)
    return Membership.objects.select_related("tenant", "user").get()


def settle(api: VProtect, simulator: SimulatorServer, rounds: int = 5) -> None:
    """Rings, sweeps and looks; vProtect works on meanwhile."""
    for _ in range(rounds):
        Operation.across_tenants.update(next_at=timezone.now(), followed_at=None)
        Mount.across_tenants.update(close_sent_at=None)
        protocol.reconcile(api)
        protocol.submit(api)
        simulator.control.advance(90)
        for look in (follow, mounts.follow_mounts):
            with suppress(UpstreamError):
                look(api)


def mounted(api: VProtect) -> list[str]:
    return [row.guid for row in api.mounts.list().items if not row.is_unmounted]


def kills() -> Iterator[Any]:
    """Each place once; with an answer that is lost as well only in `make faults`."""
    for place in FAILPOINTS:
        yield pytest.param(place, None, id=name_of((place,)))
        for reply in LOST:
            yield pytest.param(place, reply, id=f"{name_of((place,))}-{name_of(reply)}", marks=pytest.mark.slow)
    for reply in (*LOST, *OTHERS):
        marks = () if reply in LOST else pytest.mark.slow
        yield pytest.param(None, reply, id=name_of(reply), marks=marks)


@pytest.mark.odd_answers
@pytest.mark.parametrize(("place", "reply"), list(kills()))
def test_each_opening_has_one_mount_or_an_honest_word(
    place: tuple[str, str] | None,
    reply: dict[str, Any] | None,
    api: VProtect,
    simulator: SimulatorServer,
    opener: Membership,
    monkeypatch: pytest.MonkeyPatch,
):
    operation = ask(opener)
    if reply:
        simulator.control.fault(path=MOUNTING, **reply)
    if place:
        with killed(monkeypatch, *place), suppress(Killed):
            protocol.submit(api)
    settle(api, simulator)
    simulator.control.clear_faults()
    settle(api, simulator, 2)
    restores = [task for task in simulator.control.made_tasks() if task["type"] == "RESTORE"]
    ours = list(Mount.across_tenants.values_list("guid", flat=True))
    assert len(restores) <= 1 and mounted(api) == ours, "nothing doubled, and nothing that we do not know of"
    if restores:
        assert (now(operation).outcome, len(ours)) == ("succeeded", 1)
    else:
        assert now(operation).submission in {"needs_attention", "rejected"}
    Mount.across_tenants.update(closes_at=timezone.now())
    settle(api, simulator, 3)
    assert mounted(api) == [] and not Mount.across_tenants.filter(closed_at=None).exists(), "nothing for ever"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["lay_open", "note_closed", "_ask_to_unmount"])
def test_who_is_killed_while_it_opens_or_closes_is_gone_on_for(
    step: str, when: str, api: VProtect, simulator: SimulatorServer, opener: Membership, monkeypatch: pytest.MonkeyPatch
):
    die_at(monkeypatch, mounting if step == "lay_open" else mounts, step, when)
    operation = ask(opener)
    with suppress(Killed):
        settle(api, simulator)
    settle(api, simulator, 2)
    mount = Mount.across_tenants.get(operation=operation)
    clicked(opener, lambda: request_close(opener, mount, address=None))
    with suppress(Killed):
        settle(api, simulator)
    settle(api, simulator, 3)
    mount.refresh_from_db()
    assert now(operation).outcome == "succeeded" and Mount.across_tenants.count() == 1
    assert mount.closed_by == "person" and mount.closed_at is not None and mounted(api) == []


def die_at(monkeypatch: pytest.MonkeyPatch, module: Any, step: str, when: str) -> None:
    """The first process that comes to this place dies there."""
    real = getattr(module, step)

    def deadly(*args: Any) -> Any:
        monkeypatch.setattr(module, step, real)
        if when == "after":
            real(*args)
        raise Killed

    monkeypatch.setattr(module, step, deadly)


@pytest.mark.odd_answers
@pytest.mark.parametrize(
    "reply", [*LOST, *(pytest.param(reply, marks=pytest.mark.slow) for reply in OTHERS)], ids=name_of
)
def test_an_unmount_whose_answer_is_lost_is_asked_for_until_it_is_done(
    reply: dict[str, Any], api: VProtect, simulator: SimulatorServer, opener: Membership
):
    mount = open_backup(api, simulator, opener)
    clicked(opener, lambda: request_close(opener, mount, address=None))
    simulator.control.fault(path=UNMOUNTING, **reply)
    settle(api, simulator, 3)
    mount.refresh_from_db()
    assert mount.closed_by == "person" and mount.closed_at is not None and mounted(api) == []


@pytest.mark.parametrize("outcome", ["cancelled", "failed", "refused"])
def test_what_is_mounted_after_its_operation_ended_is_unmounted(
    outcome: str, api: VProtect, simulator: SimulatorServer, opener: Membership
):
    """And what the provider mounted meanwhile, of the same backup, is left alone."""
    operation = ask(opener)
    protocol.submit(api)
    request = now(operation).request
    theirs = {"mode": {"name": "AUTO"}, "mountedFileSystems": [{"mountPath": "/mnt/vprotect/console"}]}
    source = {"backup": {"guid": request["backup_guid"]}, "node": {"guid": request["node_guid"]}}
    api.transport.post(MOUNTING, theirs | source)
    Operation.across_tenants.update(outcome=outcome)
    settle(api, simulator)
    (left,) = mounted(api)
    (path,) = {system.mount_path.rsplit("/", 1)[0] for system in api.mounts.file_systems(left).items}
    assert path.startswith("/mnt/vprotect/console") and not Mount.across_tenants.exists()
    assert len(simulator.control.ledger("POST", UNMOUNTING)) == 1
