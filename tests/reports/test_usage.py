"""A month's usage and its bill: exact until a line is rounded, and the total is the sum of what is shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_scopes import scope

from reports.breakdown import breakdown_of
from reports.charts import stored_chart
from reports.models import Price
from reports.months import Month
from reports.prices import price_of, rounded, shares
from reports.usage import machine_lines, usage_of
from tenants.models import Grant, Membership, Role, Tenant, User
from tests.conftest import AsRole, is_under_the_policy
from tests.reports.conftest import GIB, written_down
from vprotect_bridge.models import Destination

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
NOVEMBER = Month(2026, 11)


def price_for(tenant: Tenant | None, since: str = "2026-01-01", **fields: object) -> Price:
    usual = {"currency": "EUR", "per_gib_month": Decimal("0.05"), "per_machine_month": Decimal("4")}
    return Price.objects.create(tenant=tenant, counts_from=since, **{**usual, **fields})


def admin_of(tenant: Tenant, machine_guids: list[str] | None = None) -> Membership:
    return Membership(tenant=tenant, user=User(), role=Role.ADMIN, machine_guids=machine_guids)


@pytest.fixture
def november(sunflower: Tenant, pine: Tenant) -> None:
    """All thirty days: two machines in two stores, one of them protected."""
    for number in range(30):
        day = NOVEMBER.first + timedelta(days=number)
        written_down(sunflower, day, "vm-1", 100 * GIB)
        written_down(sunflower, day, "vm-2", 7 * GIB, protected=0, destination_guid="store-2", plan_id="", plan_name="")
        written_down(pine, day, "vm-9", 900 * GIB)


def test_a_month_is_gib_months_and_machine_months(sunflower: Tenant, november: None):
    with scope(tenant=sunflower):
        usage = usage_of(admin_of(sunflower), NOVEMBER)
    assert [(line.key, usage.gib_months(line.byte_days)) for line in usage.storage] == [
        ("store-1", 100),
        ("store-2", 7),
    ]
    assert usage.machine_months(usage.machine_days) == 1
    assert usage.price is None and usage.total is None


def test_the_bill_is_the_sum_of_its_lines_and_so_are_plans_and_machines(sunflower: Tenant, november: None):
    price_for(None, per_gib_month=Decimal("0.0333"))
    with scope(tenant=sunflower):
        usage = usage_of(admin_of(sunflower), NOVEMBER)
        machines = machine_lines(admin_of(sunflower), usage)
    assert [line.cost for line in usage.storage] == [Decimal("3.33"), Decimal("0.23")]
    assert usage.machines_cost == Decimal("4.00") and usage.total == Decimal("7.56")
    for lines in (usage.plans, machines):
        assert sum(line.cost for line in lines) == usage.total  # type: ignore[misc]
    assert [(line.name, line.cost) for line in machines] == [
        ("machine vm-1", Decimal("7.33")),
        ("machine vm-2", Decimal("0.23")),
    ]


def test_days_without_a_record_cost_nothing(sunflower: Tenant):
    price_for(None)
    written_down(sunflower, NOVEMBER.first, "vm-1", 300 * GIB)
    with scope(tenant=sunflower):
        usage = usage_of(admin_of(sunflower), NOVEMBER)
    assert usage.recorded == [NOVEMBER.first]
    assert usage.total == Decimal("0.50") + Decimal("0.13")


@pytest.mark.parametrize(
    ("month", "expected"),
    [((2025, 12), None), ((2026, 1), "0.05"), ((2026, 2), "0.05"), ((2026, 3), "0.01"), ((2026, 5), "0.02")],
)
def test_a_price_counts_from_its_month_on_and_ones_own_before_that_of_all(
    month: tuple[int, int], expected: str | None, sunflower: Tenant, pine: Tenant
):
    price_for(None)
    price_for(None, "2026-02-01", per_gib_month=Decimal("0.05"))
    price_for(sunflower, "2026-03-01", per_gib_month=Decimal("0.01"))
    price_for(None, "2026-04-01", per_gib_month=Decimal("0.99"))
    price_for(sunflower, "2026-05-01", per_gib_month=Decimal("0.02"))
    price_for(pine, "2026-01-01", per_gib_month=Decimal("0.77"))
    found = price_of(sunflower, Month(*month))
    assert (found.per_gib_month if found else None) == (Decimal(expected) if expected else None)


def test_a_price_counts_for_whole_months_and_once(sunflower: Tenant):
    with pytest.raises(ValidationError, match="whole months"):
        Price(counts_from=date(2026, 1, 2), currency="EUR").full_clean()
    with pytest.raises(ValidationError, match="Three letters"):
        Price(counts_from=date(2026, 1, 1), currency="eur").full_clean()
    price_for(None)
    with pytest.raises(IntegrityError):
        price_for(None)


@pytest.mark.parametrize(
    ("amount", "currency", "expected"), [("0.005", "EUR", "0.01"), ("0.0049", "EUR", "0.00"), ("1.5", "JPY", "2")]
)
def test_amounts_are_rounded_to_what_the_currency_has(amount: str, currency: str, expected: str):
    assert str(rounded(Fraction(amount), currency)) == expected


@pytest.mark.parametrize("weights", [[1, 1, 1], [1, 2, 3, 5, 7], [0, 0, 1], [10**15, 1, 1], [0]])
@pytest.mark.parametrize("per_page", [1, 2, 99])
def test_shares_add_up_to_the_total_over_all_pages(weights: list[int], per_page: int):
    parts: list[Decimal] = []
    for start in range(0, len(weights), per_page):
        before, shown = weights[:start], [Fraction(weight) for weight in weights[start : start + per_page]]
        whole = {"whole": Fraction(sum(weights)), "before": Fraction(sum(before))}
        parts += shares(Decimal("10.00"), shown, "EUR", **whole)
    assert sum(parts) == (Decimal("10.00") if any(weights) else 0) and len(parts) == len(weights)
    assert all(
        abs(part - Decimal("10.00") * weight / (sum(weights) or 1)) < Decimal("0.01")
        for part, weight in zip(parts, weights, strict=True)
    )


# ── The page ─────────────────────────────────────────────────────────────────


@time_machine.travel("2026-11-30 12:00", tick=False)
def test_the_page_says_what_it_comes_to_and_what_is_not_known(
    sunflower: Tenant, november: None, owner: User, as_web: Browser
):
    price_for(sunflower)
    Destination.objects.create(guid="store-1", name="Main store")
    Destination.objects.create(guid="store-2", name="Secret store")
    Grant.across_tenants.create(tenant=sunflower, kind="destination", guid="store-1")
    html = as_web(owner).get("/t/sunflower/reports/usage/").content.decode()
    for said in ("Usage in November 2026", "Kept in Main store", "100.00 GiB-months", "€9.35", "Kept in another"):
        assert said in html, said
    assert "The record begins on 1 Nov 2026" in html and "machine vm-1" in html
    assert "Secret store" not in html and "vm-9" not in html and is_under_the_policy(html)
    assert "month=2026-10" not in html and "month=2026-12" not in html


@time_machine.travel("2026-11-30 12:00", tick=False)
@pytest.mark.parametrize("month", ["2026-12", "2026-13", "november", "2026-1", "٢٠٢٦-١١", "1999-01", "' OR 1=1"])
def test_a_month_to_come_or_none_at_all_is_not_there(month: str, owner: User, as_web: Browser):
    assert as_web(owner).get("/t/sunflower/reports/usage/", {"month": month}).status_code == 404


def test_without_a_record_the_page_says_so(owner: User, as_web: Browser):
    html = as_web(owner).get("/t/sunflower/reports/usage/").content.decode()
    assert "Nothing was written down in this month" in html and "begins within the hour" in html


@time_machine.travel("2026-11-30 12:00", tick=False)
def test_the_page_costs_the_same_for_many_machines(sunflower: Tenant, november: None, owner: User, as_web: Browser):
    browser = as_web(owner)
    browser.get("/t/sunflower/reports/usage/")
    costs = []
    for visit in range(2):
        with CaptureQueriesContext(connection) as queries:
            browser.get("/t/sunflower/reports/usage/?by=machine")
        costs.append(len(queries))
        for number in range(30):
            written_down(sunflower, date(2026, 11, 30), f"vm-{visit}-{number}", GIB)
    assert costs[0] == costs[1] <= 18


def test_web_sees_its_own_prices_and_those_of_all(sunflower: Tenant, pine: Tenant, as_role: AsRole):
    for tenant in (sunflower, pine, None):
        price_for(tenant)
    with as_role("portal_web", sunflower):
        assert set(Price.objects.values_list("tenant", flat=True)) == {sunflower.pk, None}
    with as_role("portal_web"):
        assert not Price.objects.exists()


@time_machine.travel("2026-11-30 12:00", tick=False)
def test_who_is_limited_to_some_machines_sees_those_and_no_prices(
    sunflower: Tenant, november: None, owner: User, as_web: Browser
):
    price_for(None)
    owner.memberships.update(machine_guids=["vm-2"])
    for by in ("destination", "plan", "machine"):
        html = as_web(owner).get("/t/sunflower/reports/usage/", {"by": by}).content.decode()
        assert "machine vm-2" in html and "7.00 GiB-months" in html and "of the machines that you see" in html
        assert "vm-1" not in html and "100.00" not in html and "107.00" not in html and "€" not in html, by


@time_machine.travel("2026-11-30 12:00", tick=False)
def test_machines_are_paged_by_the_database_and_their_costs_add_up(sunflower: Tenant, owner: User, as_web: Browser):
    price_for(None)
    for number in range(41):
        written_down(sunflower, date(2026, 11, 30), f"vm-{number:02}", (100 - number) * GIB + 1, plan_id="plan-2")
    browser, shown, costs = as_web(owner), [], []
    for page in (1, 2, 3):
        html = browser.get("/t/sunflower/reports/usage/", {"page": page}).content.decode()
        table = html.split('id="machines-title"')[1]
        shown += re.findall(r">machine (vm-\d\d)<", table)
        costs += re.findall(r'data-label="Cost">€([\d.]+)<', table)
    assert shown == [f"vm-{number:02}" for number in range(41)]
    with scope(tenant=sunflower):
        assert sum(map(Decimal, costs)) == usage_of(admin_of(sunflower), NOVEMBER).total


@time_machine.travel("2026-11-30 12:00", tick=False)
@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("plan", {"Nightly": [100 * GIB], "No plan": [7 * GIB]}),
        ("machine", {"machine vm-1": [100 * GIB], "machine vm-2": [7 * GIB]}),
    ],
)
def test_what_is_kept_is_divided_day_by_day(by: str, expected: dict[str, list[int]], sunflower: Tenant, november: None):
    with scope(tenant=sunflower):
        usage = usage_of(admin_of(sunflower), NOVEMBER)
        chart = stored_chart(usage, breakdown_of(admin_of(sunflower), usage, by))
    assert {one.label: one.values for one in chart.series} == {name: sizes * 30 for name, sizes in expected.items()}


@time_machine.travel("2026-11-30 12:00", tick=False)
def test_what_has_no_colour_is_among_the_others(sunflower: Tenant):
    for number in range(7):
        written_down(sunflower, date(2026, 11, 29), f"vm-{number}", (10 - number) * GIB, plan_id=f"plan-{number}")
    for by in ("plan", "machine"):
        with scope(tenant=sunflower):
            usage = usage_of(admin_of(sunflower), NOVEMBER)
            chart = stored_chart(usage, breakdown_of(admin_of(sunflower), usage, by))
        assert [one.values[28] for one in chart.series] == [10 * GIB, 9 * GIB, 8 * GIB, 22 * GIB], by
        assert chart.series[-1].label == "others" and chart.series[-1].values[0] is None


def test_a_breakdown_that_nobody_offers_is_not_there(owner: User, as_web: Browser):
    assert as_web(owner).get("/t/sunflower/reports/usage/", {"by": "tenant"}).status_code == 404
