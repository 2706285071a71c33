"""Whom the walls stand between, what each address needs, and the walls one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from allauth.mfa.models import Authenticator
from django.db import transaction
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from django_scopes import scopes_disabled

from api import http
from reports.models import ReportFile
from tenants import middleware
from tenants.models import Brand, Grant, IdentityProvider, Invitation, Membership, Role, Tenant, User
from tests.access.matrix import MATRIX
from tests.conftest import WebClient, machine_of, operation_on, person
from tests.notifications.happenings import webhook_of
from tokens.models import Token
from vprotect_bridge.models import (
    Backup,
    BulkRequest,
    ChosenEntry,
    Cluster,
    Destination,
    Download,
    FileEntry,
    Folder,
    Hypervisor,
    Machine,
    Mount,
    Operation,
    Plan,
    PlanChange,
    Question,
    Storage,
)

Cast = dict[str, User | None]
Headers = dict[str, str]
HTMX: Headers = {"HX-Request": "true"}
# `make access` tries everybody, with and without HTMX, at each wall alone too.
EVERYTHING = os.environ.get("ACCESS") == "all"
FROM_OUTSIDE = {"stranger", "removed"}


@pytest.fixture
def cast(sunflower: Tenant, pine: Tenant) -> Cast:
    people: Cast = {role: person(sunflower, role, role) for role in Role.values}
    Membership.objects.filter(user=people["admin"]).update(may_open_backups=True)
    people["anonymous"] = None
    people["stranger"] = person(pine, "stranger", Role.ADMIN)
    removed = person(sunflower, "removed", Role.ADMIN)
    Membership.objects.filter(user=removed).delete()
    people["removed"] = removed
    people["staff"] = User.objects.create_superuser("staff@operator.example", "a password for tests")
    return people


@pytest.fixture(params=["both walls", "the first alone", "the second alone"])
def wall(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The first alone: as a superuser, for whom row-level security does nothing. The second: nothing is scoped."""
    if request.param == "the first alone":
        monkeypatch.setattr(WebClient, "role", None)
    elif request.param == "the second alone":
        for place in (middleware, http):
            monkeypatch.setattr(place, "scope", lambda **of: scopes_disabled())
    return str(request.param)


@pytest.fixture
def headers_to_try(wall: str) -> list[Headers]:
    return [{}, HTMX] if EVERYTHING or wall == "both walls" else [{}]


@pytest.fixture
def people_to_try(wall: str, cast: Cast) -> Cast:
    """At a wall alone those whom it is there for, and one who is let through."""
    if EVERYTHING or wall == "both walls":
        return cast
    return {who: user for who, user in cast.items() if who in FROM_OUTSIDE | {"admin"}}


@pytest.fixture
def machine(sunflower: Tenant) -> Machine:
    Destination.objects.create(guid="store-1", name="Store")
    Grant.across_tenants.create(tenant=sunflower, kind=Grant.Kind.DESTINATION, guid="store-1")
    return machine_of(sunflower)


def ids_of(tenant: Tenant, machine: Machine, other: Machine) -> dict[str, Any]:
    """One of each kind of thing that an address names, the tenant's, by the name of its part of the address."""
    operation = operation_on(other, client_key=uuid4())
    question = Question.across_tenants.create(
        tenant=tenant, machine=machine, kind=Question.Kind.USABLE_DESTINATIONS, answer={"guids": ["store-1"]}
    )
    Question.across_tenants.filter(pk=question.pk).update(answered_at=question.asked_at)
    now = timezone.now()
    colleague = Membership.objects.get(user=person(tenant, "colleague", Role.VIEWER))
    invitation = Invitation.across_tenants.create(
        tenant=tenant, email="new@x.example", role=Role.VIEWER, token_hash=f"hash {tenant.pk}", expires_at=now
    )
    plan = Plan.across_tenants.create(
        tenant=tenant,
        is_made_here=True,
        name="Nightly",
        policy_guid=f"p-{tenant.pk}",
        is_editable=True,
        held_at=now,
    )
    PlanChange.across_tenants.create(tenant=tenant, plan=plan, kind=PlanChange.Kind.EDIT)
    bulk = BulkRequest.across_tenants.create(
        tenant=tenant, kind=BulkRequest.Kind.BACKUP, created_by=colleague.user, client_key=uuid4()
    )
    operation_on(other, bulk_request=bulk, is_bulk=True, outcome="succeeded", client_key=uuid4())
    brand = Brand.across_tenants.create(tenant=tenant, logo=b"a picture", logo_digest=f"logo-{tenant.pk}")
    return {
        **opened_ids(tenant, machine),
        "file_id": report_file_of(tenant).pk,
        "token_id": token_of(tenant).pk,
        "guid": machine.guid,
        "operation_id": operation.pk,
        "question_id": question.pk,
        "member_id": colleague.pk,
        "invitation_id": invitation.pk,
        "plan_id": plan.pk,
        "bulk_id": bulk.pk,
        "digest": brand.logo_digest,
        "webhook_id": webhook_of(tenant).pk,
    }


def token_of(tenant: Tenant) -> Token:
    """The administrator's own, or where there is none the tenant's."""
    return Token.across_tenants.create(
        tenant=tenant,
        membership=Membership.objects.filter(tenant=tenant, role=Role.ADMIN).first(),
        name="Nightly",
        role=Role.VIEWER,
        token_hash=f"hash {tenant.pk}",
        client_key=uuid4(),
        expires_at=timezone.now() + timedelta(days=1),
    )


def report_file_of(tenant: Tenant) -> ReportFile:
    """The tenant's administrator's."""
    administrator = Membership.objects.filter(tenant=tenant, role=Role.ADMIN).first()
    user = administrator.user if administrator else User.objects.create_user(f"reader@{tenant.slug}.example")
    kind, format = ReportFile.Kind.PROTECTION, ReportFile.Format.CSV
    return ReportFile.across_tenants.create(
        tenant=tenant, created_by=user, client_key=uuid4(), kind=kind, format=format
    )


def opened_ids(tenant: Tenant, machine: Machine) -> dict[str, Any]:
    """An open backup of the machine's with a folder, and a download of the tenant's administrator's."""
    now = timezone.now()
    administrator = Membership.objects.filter(tenant=tenant, role=Role.ADMIN).first()
    backup, _made = Backup.across_tenants.get_or_create(
        guid=f"opened-{tenant.pk}", defaults={"machine": machine, "tenant": tenant, "status": "OLD", "sort_at": now}
    )
    operation = operation_on(machine, kind=Operation.Kind.MOUNT, outcome="succeeded")
    mount = Mount.across_tenants.create(
        tenant=tenant,
        operation=operation,
        backup=backup,
        machine_guid=machine.guid,
        machine_name=machine.name,
        guid=f"mount-{tenant.pk}",
        file_systems=[{"guid": f"system-{tenant.pk}", "volume": "/dev/sda1", "label": "", "type": "ext4", "size": 1}],
        closes_at=now + timedelta(hours=1),
    )
    folder = Folder.across_tenants.create(
        tenant=tenant, mount=mount, file_system_guid=f"system-{tenant.pk}", path="/", path_digest="-", answered_at=now
    )
    entry = FileEntry.across_tenants.create(tenant=tenant, folder=folder, name="hosts", type="REGULAR_FILE", size=9)
    Folder.across_tenants.filter(pk=folder.pk).update(count=1)
    user = administrator.user if administrator else User.objects.create_user(f"files@{tenant.slug}.example")
    ChosenEntry.across_tenants.create(tenant=tenant, user=user, mount=mount, entry=entry)
    download = Download.across_tenants.create(
        tenant=tenant, mount=mount, created_by=user, name="hosts", items=[], is_archive=False, reserved_bytes=0
    )
    return {"mount_id": mount.pk, "folder_id": folder.pk, "download_id": download.pk, "entry_id": entry.pk}


@pytest.fixture
def addresses(sunflower: Tenant, machine: Machine) -> dict[str, str]:
    """By the name of the route."""
    ids = ids_of(sunflower, machine, machine_of(sunflower, "vm-2"))
    somebody = User.objects.create_user("somebody@pine.example", "a password for tests")
    theirs = Authenticator.objects.create(user=somebody, type=Authenticator.Type.WEBAUTHN, data={"name": "Key"})
    provider = IdentityProvider(tenant=sunflower, slug="sun", issuer="https://localhost:1", client_id="portal")
    provider.client_secret = "a secret for tests"
    provider.save()
    others = {
        "tenant": "sunflower",
        "pk": theirs.pk,
        "slug": "sun",
        "token": "unknown",
        "key": "unknown",
        "uidb36": "1",
        "rest": "unknown",
    }
    return {name: reverse(name, kwargs=arguments_of(name, ids | others)) for name in MATRIX}


@pytest.fixture
def places(sunflower: Tenant, pine: Tenant, machine: Machine) -> None:
    """Somewhere to back up and to restore to, for each: Sunflower's end in -1, Pine's in -9."""
    Machine.across_tenants.update(platform="RHV")
    for tenant, end, owner in ((sunflower, 1, machine), (pine, 9, machine_of(pine, "vm-9"))):
        host = Hypervisor.objects.create(guid=f"host-{end}", name="host", platform="RHV", is_manager=True)
        Cluster.objects.create(guid=f"cluster-{end}", uuid=f"c-{end}", name=f"Cluster {end}", hypervisor=host)
        Storage.objects.create(
            guid=f"storage-{end}", uuid=f"s-{end}", name="Fast", hypervisor=host, cluster_guids=[f"cluster-{end}"]
        )
        Destination.objects.get_or_create(guid=f"store-{end}", defaults={"name": f"Store {end}"})
        Backup.across_tenants.create(
            guid=f"backup-{end}", machine=owner, tenant=tenant, status="SUCCESS", type="FULL", sort_at=timezone.now()
        )
        kinds = {"hypervisor": "host", "cluster": "cluster", "storage": "storage", "destination": "store"}
        for kind, word in kinds.items():
            Grant.across_tenants.get_or_create(tenant=tenant, kind=kind, guid=f"{word}-{end}")
        Grant.across_tenants.create(tenant=tenant, kind="data_center", name=f"DC-{end}")


def arguments_of(name: str, values: dict[str, Any]) -> dict[str, Any]:
    return {part: values[part] for part in parts_of(name)}


def parts_of(name: str) -> list[str]:
    """What an address of this route names: "tenant", "guid" …"""
    ((_template, parts),) = get_resolver().reverse_dict.getlist(name)[0][0]
    return list(parts)


def routes(patterns: list[Any] | None = None, prefix: str = "") -> Iterator[tuple[str, str | None]]:
    """Every route of the site: its pattern and its name."""
    for entry in get_resolver().url_patterns if patterns is None else patterns:
        here = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry.url_patterns, here)
        elif isinstance(entry, URLPattern):
            yield here, entry.name


def names_below_a_tenant() -> list[str]:
    return [name for route, name in routes() if name and route.startswith("t/<slug:tenant>/")]


def asked(browser: Any, method: str, address: str, *args: Any, **headers: str) -> Any:
    """The answer; what it did is undone, so that the next question finds things as they were."""
    with transaction.atomic():
        answer = browser.generic(method, address, *args, headers=headers)
        transaction.set_rollback(True)
    return answer
