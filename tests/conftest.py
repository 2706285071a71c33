"""The fixed cast and the roles of the database; every test says who asks and as which role."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.db import connection, transaction
from django.test import Client, TransactionTestCase
from django.utils import timezone

from tenants import request_rates
from tenants.models import Membership, Role, Tenant, User
from tests.shapes import WatchedSimulator
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.transport import MemorySessionStore, Transport
from vprotect_bridge.models import Machine, Operation, UpstreamSession, UpstreamStatus
from vprotect_simulator.server import SimulatorServer

VPROTECT_PASSWORD = "the service account's password"

_number = count()

AsRole = Callable[..., AbstractContextManager[None]]


@pytest.fixture(scope="session", autouse=True)
def _tests_that_commit_remove_their_rows() -> None:
    """Django's flush truncates every table and grants all rights anew: a hundred times what these few rows are worth.

    The triggers that keep an audit, or count what goes, are asleep meanwhile.
    """
    kept = {"django_migrations", "django_content_type", "auth_permission"}
    with_triggers = ("tenants_auditentry", "vprotect_bridge_backup")

    def remove_rows(_test: TransactionTestCase) -> None:
        tables = sorted(set(connection.introspection.table_names()) - kept)
        asleep = [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in with_triggers]
        empty = [f"DELETE FROM {connection.ops.quote_name(table)}" for table in tables]  # noqa: S608
        awake = [f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in with_triggers]
        with connection.cursor() as cursor:
            # The rows' foreign keys are looked at when it is committed; before that no table may be altered again.
            for statements in (asleep + empty, awake):
                with transaction.atomic():
                    cursor.execute(";".join(statements))
        # What the migrations put there.
        UpstreamStatus.objects.create(pk=1)
        UpstreamSession.objects.create(pk=1)

    TransactionTestCase._fixture_teardown = remove_rows  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _nobody_tried_tokens_before() -> None:
    request_rates.OF_A_STRANGER._left.clear()


@pytest.fixture
def as_role(db: None) -> AsRole:
    """`with as_role("portal_web", tenant):` — what PostgreSQL lets this role do while the tenant is set."""

    @contextmanager
    def take(role: str, tenant: Tenant | None = None) -> Iterator[None]:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('app.tenant', %s, true)", [str(tenant.pk) if tenant else ""])
            cursor.execute(f"SET LOCAL ROLE {role}")
            yield
            cursor.execute("RESET ROLE")

    return take


@pytest.fixture
def as_web(db: None) -> Iterator[Callable[[User | None], Client]]:
    """`as_web(person)` — a browser in which this person is signed in; its requests run as the role of web."""

    def browser(user: User | None = None) -> Client:
        client = WebClient()
        if user is not None:
            client.force_login(user)
        return client

    yield browser


class WebClient(Client):
    """A browser whose requests run as the role of web."""

    role: str | None = "portal_web"

    def request(self, **request: Any) -> Any:
        if self.role is None:
            return super().request(**request)
        with connection.cursor() as cursor:
            cursor.execute(f"SET ROLE {self.role}")
            try:
                return super().request(**request)
            finally:
                cursor.execute("RESET ROLE")


class OperatorClient(WebClient):
    """A browser at the operator site, whose requests run as its role."""

    role = "portal_operator"


def is_under_the_policy(html: str) -> bool:
    """No script and no style of its own: the content security policy would forbid it."""
    inline = re.search(r"<script(?![^>]*\b(src|type=\"application/json\"))|<style|\sstyle=|\son[a-z]+=\"", html)
    return inline is None


@pytest.fixture
def sunflower(db: None) -> Tenant:
    return Tenant.objects.create(name="Sunflower", slug="sunflower")


@pytest.fixture
def pine(db: None) -> Tenant:
    return Tenant.objects.create(name="Pine", slug="pine")


@pytest.fixture
def owner(sunflower: Tenant) -> User:
    return person(sunflower, "owner", Role.ADMIN)


@pytest.fixture
def stranger(pine: Tenant) -> User:
    return person(pine, "stranger", Role.ADMIN)


@pytest.fixture(scope="session")
def simulator_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedSimulator]:
    folder: Path = tmp_path_factory.mktemp("simulator")
    server = WatchedSimulator(folder, password=VPROTECT_PASSWORD, landscape_name="empty")
    server.start()
    yield server
    server.stop()


USUAL_DIALECT = os.environ.get("DIALECT", "classic")


@pytest.fixture
def dialect() -> str:
    """The generation of vProtect that the test is about; `both_dialects` runs it with each.

    DIALECT=current runs all of them with that one.
    """
    return USUAL_DIALECT


both_dialects = pytest.mark.parametrize("dialect", ["classic", "current"])
# For what only the guide's generation does; DIALECT changes nothing there.
classic_only = pytest.mark.parametrize("dialect", ["classic"])


@pytest.fixture
def simulator(
    simulator_of_the_run: WatchedSimulator, dialect: str, settings: Any, request: pytest.FixtureRequest
) -> Iterator[SimulatorServer]:
    """A simulated vProtect over HTTPS with the landscape `small`, as if nobody had called it yet.

    Afterwards every exchange is held against the shapes of the reference (docs/shapes).
    """
    settings.VPROTECT_DIALECT = dialect
    simulator_of_the_run.state.dialect = dialect
    simulator_of_the_run.control.reset("small", speed=1)
    simulator_of_the_run.exchanges.clear()
    yield simulator_of_the_run
    is_odd = request.node.get_closest_marker("odd_answers") is not None
    faults = simulator_of_the_run.faults(odd_answers=is_odd)
    assert not faults, "not as the reference has it:\n" + "\n".join(faults[:10])


@pytest.fixture
def api(simulator: SimulatorServer, dialect: str) -> VProtect:
    return api_of(simulator, dialect)


def api_of(simulator: SimulatorServer, dialect: str) -> VProtect:
    return VProtect(
        Transport(
            simulator.url,
            ca_file=str(simulator.ca_file),
            sessions=MemorySessionStore(),
            credentials=lambda: ("portal-svc", VPROTECT_PASSWORD),
            timeout=2.0,
        ),
        dialect,
    )


def person(tenant: Tenant, name: str, role: str) -> User:
    user = User.objects.create_user(f"{name}@{tenant.slug}.example", "a password for tests")
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    Membership.objects.create(user=user, tenant=tenant, role=role)
    return user


def machine_of(tenant: Tenant | None, guid: str = "vm-1") -> Machine:
    now = timezone.now()
    return Machine.across_tenants.create(
        guid=guid, name=f"machine {guid}", tenant=tenant, row_digest="", first_seen_at=now, changed_at=now
    )


def operation_on(machine: Machine, **fields: object) -> Operation:
    now = timezone.now()
    request = {"backup_type": "FULL", "destination_guid": "store-1", "priority": 50}
    usual: dict[str, object] = {
        "tenant": machine.tenant,
        "kind": Operation.Kind.BACKUP,
        "machine": machine,
        "subject_guid": machine.guid,
        "request": request,
        "marker_ws_ms": int(now.timestamp() * 1000),
        # Two of the same millisecond differ, as the portal's own do.
        "marker_we_ms": int((now + timedelta(hours=6)).timestamp() * 1000) + next(_number),
        "deadline_at": now + timedelta(hours=5),
    }
    return Operation.across_tenants.create(**{**usual, **fields})
