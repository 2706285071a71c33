"""A process that fetches files is killed in the middle of a transfer: another one takes over, nothing stays behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from tests.conftest import api_of
from tests.vprotect_bridge.opened import clicked, entry, make_opener, open_backup
from vprotect_bridge import fetching, spool
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.download_wishes import request_download, request_removal
from vprotect_bridge.models import Download
from vprotect_simulator.server import SimulatorServer

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True, serialized_rollback=True)]


@pytest.mark.parametrize("then", ["fetched", "cancelled"])
def test_a_worker_killed_in_mid_transfer_leaves_it_to_another(
    then: str, dialect: str, api: VProtect, simulator: SimulatorServer, settings: Any, tmp_path: Path
):
    settings.SPOOL_FOLDER = tmp_path / "spool"
    opener = make_opener(api)
    mount = open_backup(api, simulator, opener)
    part = entry(api, opener, mount, "/srv/odd/sizes/five-gigabytes.img")
    if then == "fetched":
        parts = entry(api, opener, mount, "/volume-1/part-000.bin", system=1).folder.entries
        part = parts.select_related("folder__mount").order_by("-size")[0]
    download = clicked(opener, lambda: request_download(opener, mount, [part], client_key=uuid4(), address=None))
    process = fetching_process(simulator, dialect)
    wait_until(lambda: spool.part_of(download.pk).exists() and spool.part_of(download.pk).stat().st_size > 2**20)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    download.refresh_from_db()
    assert download.state == "fetching" and not spool.path_of(download.pk).exists(), "never half a file"
    if then == "cancelled":
        clicked(opener, lambda: request_removal(opener, download, address=None))
    Download.across_tenants.update(next_at=timezone.now())
    fetching.fetch(api)
    download.refresh_from_db()
    if then == "fetched":
        assert (download.state, download.attempts) == ("ready", 2)
        assert spool.path_of(download.pk).stat().st_size == part.size
    else:
        assert download.state == "cancelled"
    spool.sweep()
    assert len(list((tmp_path / "spool").iterdir())) == (then == "fetched")


def fetching_process(simulator: SimulatorServer, dialect: str) -> int:
    """A worker's process with connections of its own."""
    pid = os.fork()
    if pid:
        return pid
    try:
        connection.connection = None  # the parent's
        fetching.fetch(api_of(simulator, dialect))
    finally:
        os._exit(1)


def wait_until(true: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)
