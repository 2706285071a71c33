"""Who may be told, and of what, as it is at this moment."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet

from notifications.models import Choices, Event, MailTimes, PersonalChoices, TenantChoices
from tenants.models import Membership


@dataclass(frozen=True)
class Reader:
    """A member, with what holds for them: their own choices, else their tenant's, else the product's."""

    membership: Membership
    choices: Choices
    times: MailTimes

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.membership.user.time_zone or self.membership.tenant.time_zone)

    @property
    def gets_mail(self) -> bool:
        """Whoever has been in this tenant has proven by it that the address, or the sign-in, is theirs."""
        return self.membership.last_seen_at is not None

    def may_see(self, event: Event) -> bool:
        """What is about a whole plan is for those who may see every machine."""
        guids = self.membership.machine_guids
        return guids is None or bool(event.machine_guid and event.machine_guid in guids)


def active_memberships() -> QuerySet[Membership]:
    people = Membership.objects.filter(user__is_active=True, tenant__is_active=True)
    return people.select_related("user", "tenant__brand").defer("tenant__brand__logo")


def readers_of(memberships: Collection[Membership]) -> list[Reader]:
    """Three statements, however many they are."""
    users, tenants = ({getattr(member, name) for member in memberships} for name in ("user_id", "tenant_id"))
    pairs = Q(user__in=users, tenant__in=tenants)
    personal = {(row.user_id, row.tenant_id): row for row in PersonalChoices.across_tenants.filter(pairs)}
    of_tenants = {row.tenant_id: row for row in TenantChoices.across_tenants.filter(tenant__in=tenants)}
    times = {row.user_id: row for row in MailTimes.objects.filter(user__in=users)}
    return [
        Reader(
            member,
            personal.get((member.user_id, member.tenant_id)) or of_tenants.get(member.tenant_id) or TenantChoices(),
            times.get(member.user_id) or MailTimes(),
        )
        for member in memberships
    ]


def reader_of(user_id: int, tenant_id: int) -> Reader | None:
    """None = this person is to hear nothing of this tenant any more."""
    found = readers_of(list(active_memberships().filter(user=user_id, tenant=tenant_id)))
    return found[0] if found else None
