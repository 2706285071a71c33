"""What a month costs: exact until a line of the bill is rounded, and the total is the sum of the lines as shown."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from babel.numbers import format_currency, get_currency_precision
from django.db.models import F, Q
from django.utils.translation import get_language, to_locale

from reports.models import Price
from reports.months import Month
from tenants.models import Tenant


def price_of(tenant: Tenant, month: Month) -> Price | None:
    """Its own before that of all; None = none counts yet."""
    prices = Price.objects.filter(Q(tenant=tenant) | Q(tenant=None), counts_from__lte=month.first)
    return prices.order_by(F("tenant").asc(nulls_last=True), "-counts_from").first()


def rounded(amount: Fraction, currency: str) -> Decimal:
    """To what the currency has: cents of a euro, whole yen. Halves go up."""
    step = 10 ** get_currency_precision(currency)
    exact = Decimal(amount.numerator * step) / Decimal(amount.denominator)
    return exact.quantize(Decimal(1), ROUND_HALF_UP).scaleb(-get_currency_precision(currency))


def shares(total: Decimal, weights: Sequence[Fraction], currency: str) -> list[Decimal]:
    """The total divided by weights and rounded, so that the parts add up to it exactly: what rounding down leaves over
    goes to those who lost most by it."""
    whole = sum(weights, Fraction(0))
    if not whole:
        return [Decimal(0)] * len(weights)
    step = 10 ** get_currency_precision(currency)
    exact = [Fraction(total) * step * weight / whole for weight in weights]
    parts = [int(share) for share in exact]
    left = int(total * step) - sum(parts)
    by_loss = sorted(range(len(weights)), key=lambda place: parts[place] - exact[place])
    for place in by_loss[:left]:
        parts[place] += 1
    return [Decimal(part).scaleb(-get_currency_precision(currency)) for part in parts]


def money(amount: Decimal | None, currency: str) -> str:
    """€1,234.50, as the reader's language writes it; an unknown currency by its letters."""
    if amount is None:
        return "–"
    return str(format_currency(amount, currency, locale=to_locale(get_language() or "en")))


def unit_price(amount: Decimal, currency: str) -> str:
    """As the operator set it: parts of a cent are shown."""
    locale = to_locale(get_language() or "en")
    return str(format_currency(amount, currency, locale=locale, decimal_quantization=False))
