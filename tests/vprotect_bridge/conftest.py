from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import override_settings
from pytest_django.plugin import DjangoDbBlocker

from tenants.models import Membership, Tenant
from tests.conftest import USUAL_DIALECT, api_of
from tests.shapes import WatchedSimulator
from tests.vprotect_bridge.opened import make_opener, open_backup
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.models import Mount
from vprotect_bridge.operation_session import OperationSession
from vprotect_bridge.plan_sync import sync_plans
from vprotect_bridge.sync import sync_inventory

# ── Set up once for all tests of a module, which roll back to it ─────────────

Saved = dict[str, Any]


@contextmanager
def set_up_once(
    blocker: DjangoDbBlocker, simulator: WatchedSimulator, dialect: str, make: Callable[[VProtect], object]
) -> Iterator[Saved]:
    """What `make` writes stays for all tests of a module; yields what the simulator remembered by then."""
    with blocker.unblock(), override_settings(VPROTECT_DIALECT=dialect), transaction.atomic():
        simulator.state.dialect = dialect
        simulator.control.reset("small", speed=1)
        make(api_of(simulator, dialect))
        yield saved(simulator)
        transaction.set_rollback(True)


@pytest.fixture(scope="module")
def mirrored_once(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, simulator_of_the_run: WatchedSimulator
) -> Iterator[Saved]:
    """A person who may open backups."""
    with set_up_once(django_db_blocker, simulator_of_the_run, USUAL_DIALECT, make_opener) as remembered:
        yield remembered


@pytest.fixture(scope="module")
def opened_once(
    mirrored_once: Saved, django_db_blocker: DjangoDbBlocker, simulator_of_the_run: WatchedSimulator
) -> Saved:
    """The same, with the newest backup of web-01 open."""
    opener = Membership.objects.select_related("tenant", "user").get()
    with django_db_blocker.unblock(), override_settings(VPROTECT_DIALECT=USUAL_DIALECT), one_session():
        open_backup(api_of(simulator_of_the_run, USUAL_DIALECT), simulator_of_the_run, opener)
    return saved(simulator_of_the_run)


@pytest.fixture
def opener(opened_once: Saved, db: None, simulator: WatchedSimulator) -> Membership:
    """Who has opened it, in a tenant and a vProtect as they were then."""
    bring_back(opened_once, simulator)
    return Membership.objects.select_related("tenant", "user").get()


@pytest.fixture
def mount(opener: Membership) -> Mount:
    return Mount.across_tenants.select_related("operation", "backup", "tenant").get()


def saved(simulator: WatchedSimulator) -> Saved:
    return deepcopy(vars(simulator.state))


def bring_back(saved: Saved, simulator: WatchedSimulator) -> None:
    vars(simulator.state).update(deepcopy(saved))


def as_it_was(remembered: Saved, api: VProtect, simulator: WatchedSimulator, dialect: str) -> Tenant:
    """The module's only tenant; in the other dialect it is read from a simulator that begins anew."""
    if dialect == USUAL_DIALECT:
        bring_back(remembered, simulator)
    else:
        sync_inventory(api)
        sync_plans(api)
    return Tenant.objects.get()


@contextmanager
def one_session() -> Iterator[None]:
    """Senders move operations inside the caller's transaction, so that nothing has to be emptied afterwards.

    That they do so in a session of their own is the affair of test_submit.py and tests/faults.
    """

    @contextmanager
    def session() -> Iterator[OperationSession]:
        connection.ensure_connection()
        yield OperationSession(connection.connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vprotect_bridge.submit.operation_session", session)
        yield


@pytest.fixture
def one_connection() -> Iterator[None]:
    with one_session():
        yield


# ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def quick_settling(settings: Any) -> None:
    settings.VPROTECT_SECONDS = {**settings.VPROTECT_SECONDS, "settle": 0.0}


@pytest.fixture
def at_once() -> Callable[..., list[Any]]:
    """Runs functions at the same moment, each with a connection of its own; returns what they returned or raised."""

    def run(*functions: Callable[[], Any]) -> list[Any]:
        results: list[Any] = [None] * len(functions)
        start = threading.Barrier(len(functions))

        def one(place: int, function: Callable[[], Any]) -> None:
            start.wait()
            try:
                results[place] = function()
            except Exception as error:
                results[place] = error
            finally:
                connection.close()

        threads = [threading.Thread(target=one, args=pair) for pair in enumerate(functions)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    return run
