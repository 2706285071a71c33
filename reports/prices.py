"""What a month costs: exact until a line of the bill is rounded, and the total is the sum of the lines as shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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


def shares(
    total: Decimal, weights: Iterable[Fraction], currency: str, *, whole: Fraction, before: Fraction = Fraction(0)
) -> Iterator[Decimal]:
    """The total divided by weights, of which the `whole` is the sum, so that the parts add up to it exactly.

    Each is what the rounded share of all up to it has more than that of all before it: so a page of a list, after what
    weighs `before`, needs none of the others.
    """
    share = _share(total, before, whole, currency)
    for weight in weights:
        before += weight
        until = _share(total, before, whole, currency)
        yield until - share
        share = until


def _share(total: Decimal, part: Fraction, whole: Fraction, currency: str) -> Decimal:
    return rounded(Fraction(total) * part / whole if whole else Fraction(0), currency)


def money(amount: Decimal | None, currency: str) -> str:
    """€1,234.50, as the reader's language writes it; an unknown currency by its letters."""
    if amount is None:
        return "–"
    return str(format_currency(amount, currency, locale=to_locale(get_language() or "en")))


def unit_price(amount: Decimal, currency: str) -> str:
    """As the operator set it: parts of a cent are shown."""
    locale = to_locale(get_language() or "en")
    return str(format_currency(amount, currency, locale=locale, decimal_quantization=False))
