"""How reports show amounts."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _

from portal import dates, words
from portal.file_words import DOWNLOAD
from portal.words import Chip
from reports import names, prices
from reports.chargeback import Compared
from reports.models import Price
from reports.usage import Usage
from vprotect_bridge.download_wishes import readable_size
from vprotect_bridge.targets import State

register = template.Library()


@register.filter
def in_gib_months(usage: Usage, byte_days: int) -> str:
    return number_format(Decimal(str(round(float(usage.gib_months(byte_days)), 2))), 2)


@register.filter
def in_machine_months(usage: Usage, machine_days: int) -> str:
    return number_format(Decimal(str(round(float(usage.machine_months(machine_days)), 2))), 2)


@register.simple_tag
def money(amount: Decimal | None, price: Price | None) -> str:
    return prices.money(amount, price.currency) if price else "–"


@register.filter
def per_gib(price: Price) -> str:
    return prices.unit_price(price.per_gib_month, price.currency)


@register.filter
def per_machine(price: Price) -> str:
    return prices.unit_price(price.per_machine_month, price.currency)


@register.simple_tag
def destination(usage: Usage, guid: str) -> str:
    return names.destination_name(usage, guid)


@register.simple_tag
def plan_of_usage(usage: Usage, key: str, name: str) -> str:
    return names.plan_name(usage, key, name)


@register.filter
def percent(share: float | None) -> str:
    """Never "100 %" while one failed."""
    if share is None:
        return "–"
    return f"{number_format(min(round(share, 1), 99.9) if share < 100 else 100, 1 if share < 100 else 0)} %"


@register.inclusion_tag("portal/partials/chip.html")
def target_chip(state: State) -> dict[str, Chip]:
    return {"chip": words.TARGET[state]}


@register.filter
def reason(said: str) -> str:
    return str(words.failure_reason(said))


@register.filter
def age(moment: datetime) -> str:
    return dates.ago(moment)


FILE_CHIP = {
    "waiting": words.WAITING,
    "making": Chip("running", "arrow-repeat", _("Being made")),
    **{state: DOWNLOAD[state] for state in ("ready", "failed", "removed")},
}


@register.inclusion_tag("portal/partials/chip.html")
def file_chip(state: str) -> dict[str, Chip]:
    return {"chip": FILE_CHIP[state]}


@register.simple_tag
def difference(row: Compared) -> str:
    """With its sign, and as a part of vProtect's figure."""
    if not row.difference:
        return "0"
    sign, share = "+" if row.difference > 0 else "−", row.percent
    part = f" ({sign}{number_format(round(abs(share), 1), 1)} %)" if share is not None else ""
    return f"{sign}{readable_size(abs(row.difference))}{part}"
