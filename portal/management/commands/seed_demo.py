"""Three tenants and their people for the demo; asked again it changes nothing but the passwords."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from notifications.models import ByMail, PersonalChoices
from reports.models import Price
from tenants.models import Claim, Grant, Membership, Role, Tenant, User


def _guid(path: str) -> str:
    """GUIDs in the demo's landscape are made from names, so that both sides know them."""
    return str(uuid5(NAMESPACE_URL, f"vprotect-simulator/{path}"))


PRIMARY, OFFSITE, ARCHIVE = (_guid(f"destination/{name}") for name in ("primary-fs", "offsite-s3", "archive-tape"))
OPENSTACK, RHV, KVM = (
    tuple(_guid(path) for path in (target, f"cluster/{platform}", f"storage/{platform}/ssd-pool"))
    for target, platform in (("manager/OPENSTACK", "OPENSTACK"), ("manager/RHV", "RHV"), ("host/kvm-01", "KVM"))
)
CUMULUS_MACHINES = [_guid(f"vm/cumulus-{number:02d}") for number in range(1, 13)]


@dataclass(frozen=True)
class DemoTenant:
    name: str
    slug: str
    time_zone: str
    claims: tuple[tuple[str, str], ...]
    destinations: tuple[str, ...]
    restore_targets: tuple[tuple[str, ...], ...]
    priority_cap: int = 50
    target_hours: int | None = None


TENANTS = (
    DemoTenant(
        "Aurora Books",
        "aurora-books",
        "Europe/Warsaw",
        ((Claim.Kind.TENANT_VALUE, "e5a2c7b64a0d4d1fb0b5f8f0c2b1a910"),),
        (PRIMARY, OFFSITE),
        (OPENSTACK,),
        priority_cap=80,
        target_hours=24,
    ),
    DemoTenant(
        "Borealis Clinic",
        "borealis-clinic",
        "Europe/Berlin",
        ((Claim.Kind.TENANT_VALUE, "7b1d0f3c9c5e4b52a1d8f6e4b7c09d21"),),
        (PRIMARY, OFFSITE),
        (OPENSTACK,),
    ),
    DemoTenant(
        "Cumulus Foods",
        "cumulus-foods",
        "Europe/Lisbon",
        tuple((Claim.Kind.MACHINE, guid) for guid in CUMULUS_MACHINES),
        (PRIMARY, ARCHIVE),
        (RHV, KVM),
    ),
)


@dataclass(frozen=True)
class DemoPerson:
    """`tenant` is a slug; empty for the operator."""

    email: str
    tenant: str
    role: str
    note: str = ""

    @property
    def machine_guids(self) -> list[str] | None:
        return CUMULUS_MACHINES[:3] if self.email.startswith("three-machines@") else None


def people() -> Iterator[DemoPerson]:
    for tenant in TENANTS:
        for role in Role:
            yield DemoPerson(f"{role.value}@{tenant.slug}.example", tenant.slug, role.value)
    for slug, role in (("aurora-books", Role.MEMBER), ("borealis-clinic", Role.VIEWER)):
        yield DemoPerson("two-tenants@demo.example", slug, role.value, "belongs to two tenants")
    yield DemoPerson("three-machines@cumulus-foods.example", "cumulus-foods", "member", "limited to three machines")
    yield DemoPerson("operator@demo.example", "", "operator", "signs in at the operator site")


class Command(BaseCommand):
    help = "Seeds the demo's tenants and people. Runs as the owner of the tables, with DEMO_PASSWORD set."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--print-people", action="store_true", help="print who can log in, as JSON; change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["print_people"]:
            self.stdout.write(json.dumps([asdict(person) for person in people()], indent=2))
            return
        password = os.environ.get("DEMO_PASSWORD")
        if not password:
            raise CommandError("DEMO_PASSWORD is not set: everybody in the demo signs in with it.")
        with transaction.atomic():
            for tenant in TENANTS:
                _seed_tenant(tenant)
            _seed_prices()
            # Made once for all: each is slow on purpose, and they all have the same password.
            password_hash = make_password(password)
            for person in people():
                _seed_person(person, password, password_hash)


def _seed_tenant(wanted: DemoTenant) -> None:
    tenant, _made = Tenant.objects.update_or_create(
        slug=wanted.slug,
        defaults={
            "name": wanted.name,
            "time_zone": wanted.time_zone,
            "priority_cap": wanted.priority_cap,
            "target_hours": wanted.target_hours,
        },
    )
    for kind, value in wanted.claims:
        Claim.across_tenants.get_or_create(kind=kind, value=value, defaults={"tenant": tenant})
    grants = [(Grant.Kind.DESTINATION, guid) for guid in wanted.destinations]
    kinds = (Grant.Kind.HYPERVISOR, Grant.Kind.CLUSTER, Grant.Kind.STORAGE)
    grants += [grant for target in wanted.restore_targets for grant in zip(kinds, target, strict=True)]
    for kind, guid in grants:
        Grant.across_tenants.get_or_create(tenant=tenant, kind=kind, guid=guid)


def _seed_prices() -> None:
    """From two months ago on: of all, and a better one for one of them."""
    first = (timezone.localdate().replace(day=1) - timedelta(days=40)).replace(day=1)
    for slug, gib, machine in (("", "0.0400", "3.00"), ("borealis-clinic", "0.0325", "2.50")):
        tenant = Tenant.objects.get(slug=slug) if slug else None
        amounts = {"currency": "EUR", "per_gib_month": Decimal(gib), "per_machine_month": Decimal(machine)}
        if not Price.objects.filter(tenant=tenant).exists():
            Price.objects.create(tenant=tenant, counts_from=first, **amounts)


def _seed_person(person: DemoPerson, password: str, password_hash: str) -> None:
    is_operator = not person.tenant
    user, made = User.objects.get_or_create(
        email=person.email,
        defaults={"is_staff": is_operator, "is_superuser": is_operator, "password": password_hash},
    )
    if not made and not user.check_password(password):
        user.set_password(password)
        user.save(update_fields=["password"])
    EmailAddress.objects.get_or_create(user=user, email=user.email, defaults={"verified": True, "primary": True})
    if person.tenant:
        Membership.objects.get_or_create(
            user=user,
            tenant=Tenant.objects.get(slug=person.tenant),
            defaults={
                "role": person.role,
                "machine_guids": person.machine_guids,
                "may_open_backups": person.role in {Role.RESTORER, Role.ADMIN},
            },
        )
    if person.role == Role.ADMIN:
        # In the demo nobody waits for tomorrow morning.
        of_tenant = {"user": user, "tenant": Tenant.objects.get(slug=person.tenant)}
        PersonalChoices.across_tenants.get_or_create(**of_tenant, defaults={"by_mail": ByMail.AT_ONCE})
