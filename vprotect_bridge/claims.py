"""A claim acts at once, whoever makes it or takes it back: nobody waits for the next inventory, nobody sees on."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.models import QuerySet
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.models import GUID, Claim, Tenant
from vprotect_bridge.models import Machine


@receiver(post_save, sender=Claim, dispatch_uid="a_claim_gives_its_machine")
def give_machine(instance: Claim, **kwargs: Any) -> None:
    """Machines of a tenantId value are given by the next inventory, which has to ask vProtect."""
    if instance.kind == Claim.Kind.MACHINE:
        # The history too is the first owner's, but a worker has to read it again for that.
        Machine.across_tenants.filter(guid=instance.value).update(
            tenant=instance.tenant,
            owned_by=Machine.OwnedBy.CLAIM,
            owner_value=instance.value,
            backups_wanted_at=timezone.now(),
        )


@receiver(post_delete, sender=Claim, dispatch_uid="a_claim_taken_back_takes_its_machines")
def take_machines(instance: Claim, **kwargs: Any) -> None:
    """They may be somebody's by another rule; the next inventory finds out."""
    made_by_it = Machine.across_tenants.filter(owner_value=instance.value)
    is_machine = instance.kind == Claim.Kind.MACHINE
    by_claim = made_by_it.filter(owned_by=Machine.OwnedBy.CLAIM)
    theirs = by_claim if is_machine else made_by_it.exclude(owned_by=Machine.OwnedBy.CLAIM)
    theirs.update(tenant=None, owned_by="", owner_value="")


# ── Many at once ─────────────────────────────────────────────────────────────

MOST_PASTED = 5000


class Standing(models.TextChoices):
    """How a value that an operator pasted stands to the tenant that is to have it."""

    FREE = "free", _("Nobody's: will be claimed.")
    UNKNOWN = "unknown", _("vProtect has told of no such machine or project yet.")
    TAKES = "takes", _("Belongs to another tenant now, by its project or tenantId.")
    OWN = "own", _("Claimed for this tenant already.")
    OTHERS = "others", _("Claimed for another tenant: take it back there first.")
    ODD = "odd", _("Not a GUID: letters, digits and hyphens, up to 64.")


CLAIMABLE = frozenset({Standing.FREE, Standing.UNKNOWN, Standing.TAKES})


@dataclass(frozen=True)
class Pasted:
    """One value, the machine that it names, and the other tenant that it is about; both may be None."""

    value: str
    standing: Standing
    machine: Machine | None = None
    other: Tenant | None = None


def sort_pasted(tenant: Tenant, kind: str, text: str) -> list[Pasted]:
    """Each value of the text once, in its order; separated by space, comma, semicolon or line."""
    values = list(dict.fromkeys(re.split(r"[\s,;]+", text.strip())))[:MOST_PASTED]
    values = [value for value in values if value]
    claims = {claim.value: claim for claim in _claims_of(kind, values)}
    machines = _machines_of(kind, values)
    return [_sorted(tenant, kind, value, claims.get(value), machines.get(value)) for value in values]


def _sorted(tenant: Tenant, kind: str, value: str, claim: Claim | None, machine: Machine | None) -> Pasted:
    if kind == Claim.Kind.MACHINE and not re.fullmatch(GUID, value):
        return Pasted(value, Standing.ODD)
    if claim is not None:
        is_own = claim.tenant_id == tenant.pk
        return Pasted(value, Standing.OWN if is_own else Standing.OTHERS, machine, None if is_own else claim.tenant)
    if machine is None:
        return Pasted(value, Standing.UNKNOWN)
    is_others = machine.tenant_id not in {None, tenant.pk}
    return Pasted(value, Standing.TAKES if is_others else Standing.FREE, machine, machine.tenant if is_others else None)


def _claims_of(kind: str, values: list[str]) -> QuerySet[Claim]:
    return Claim.across_tenants.filter(kind=kind, value__in=values).select_related("tenant")


def _machines_of(kind: str, values: list[str]) -> dict[str, Machine]:
    """By value; of a tenantId value any machine that has it."""
    name = "guid" if kind == Claim.Kind.MACHINE else "tenant_value"
    machines = Machine.across_tenants.filter(**{f"{name}__in": values}).select_related("tenant")
    return {getattr(machine, name): machine for machine in machines.only("guid", "name", "tenant_value", "tenant")}


def claim_all(tenant: Tenant, kind: str, pasted: Iterable[Pasted], standings: Collection[str]) -> list[Pasted]:
    """Claims what has one of these standings; returns what it claimed. Somebody may have been faster: not counted."""
    claimed = []
    for one in pasted:
        if one.standing in set(standings) & CLAIMABLE:
            _claim, is_new = Claim.across_tenants.get_or_create(kind=kind, value=one.value, defaults={"tenant": tenant})
            claimed += [one] if is_new else []
    return claimed
