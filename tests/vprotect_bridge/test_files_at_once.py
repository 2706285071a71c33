"""What single files owe to the database's own transactions, so that each is committed here: clicks at the same moment
are counted one after the other, and what could be taken for each other is not sent at the same time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tenants.models import Membership, Tenant
from tests.vprotect_bridge.opened import ask, clicked, entry, make_opener, now, open_backup
from vprotect_bridge import submit as protocol
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.download_wishes import request_download
from vprotect_bridge.models import Download, Operation
from vprotect_simulator.server import SimulatorServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def opener(api: VProtect) -> Membership:
    """Committed anew for each test, unlike that of the package."""
    return make_opener(api)


def test_two_clicks_at_the_same_moment_open_so_many_as_are_allowed(
    opener: Membership, at_once: Callable[..., list[Any]]
):
    Tenant.objects.update(mount_cap=1)
    results = at_once(lambda: ask(opener), lambda: ask(opener, machine="db-01"))
    assert sorted(type(result).__name__ for result in results) == ["Operation", "WishRefused"]
    assert Operation.across_tenants.count() == 1


def test_two_clicks_at_the_same_moment_fit_into_the_day_together(
    api: VProtect, simulator: SimulatorServer, opener: Membership, at_once: Callable[..., list[Any]]
):
    mount = open_backup(api, simulator, opener)
    bash = entry(api, opener, mount, "/usr/bin/bash")
    request = {"mount": mount, "created_by": opener.user, "name": "x", "items": [], "is_archive": False}
    Download.across_tenants.create(
        tenant=opener.tenant, state="ready", reserved_bytes=20 * 1024**3 - 100_000, **request
    )

    def fetch() -> Download:
        return clicked(opener, lambda: request_download(opener, mount, [bash], client_key=uuid4(), address=None))

    assert sorted(type(result).__name__ for result in at_once(fetch, fetch)) == ["Download", "WishRefused"]


def test_while_a_restore_is_uncertain_a_mount_of_the_machine_waits(
    api: VProtect, simulator: SimulatorServer, opener: Membership
):
    """Its RESTORE task could be taken for the other's."""
    simulator.control.fault("reset", path="/tasks/restore-and-import", when="after")
    restore, mount = ask(opener, kind="restore"), ask(opener)
    protocol.submit(api), protocol.submit(api)
    assert (now(restore).submission, now(mount).submission) == ("uncertain", "pending")
    assert not simulator.control.ledger("POST", "/tasks/restore-and-mount")
