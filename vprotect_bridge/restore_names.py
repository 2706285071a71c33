"""The name that a restored machine is suggested: one that its platform allows and that is free."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from django.db.models.functions import Lower

from tenants.models import Membership
from vprotect_bridge.models import Machine
from vprotect_bridge.restore_wishes import PLATFORMS, Platform

# What Unicode does not take apart into a letter and its sign, and how German writes its own without them.
SPELLED = str.maketrans(
    {
        **{"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"},
        **{"æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"},
        **{"đ": "d", "Đ": "D", "ð": "d", "þ": "th", "ı": "i"},
    }
)
MOST_TRIED = 20


def suggested_name(membership: Membership, machine: Machine) -> str:
    """ "kueche-display-restored" of küche-display; "" = its own name, of a machine that does not exist any more."""
    if not machine.exists:
        return ""
    platform = PLATFORMS.get(machine.platform, Platform())
    names = list(_names(machine.name, platform))
    there = Machine.objects.filter(present=True, vanished_at__isnull=True)
    if membership.machine_guids is not None:
        there = there.filter(guid__in=membership.machine_guids)
    lower = [name.lower() for name in names]
    taken = set(
        there.annotate(lower_name=Lower("name")).filter(lower_name__in=lower).values_list("lower_name", flat=True)
    )
    return next((name for name in names if name.lower() not in taken), "")


def _names(name: str, platform: Platform) -> Iterator[str]:
    for number in range(1, MOST_TRIED + 1):
        end = "restored" if number == 1 else f"restored-{number}"
        start = spelled(name, platform)[: platform.longest_name - len(end) - 1]
        yield f"{start}-{end}" if start else end


def spelled(name: str, platform: Platform) -> str:
    """As near to the name as the platform allows; "" where no letter of it is left."""
    composed = unicodedata.normalize("NFC", name)
    plain = unicodedata.normalize("NFKD", composed.translate(SPELLED)).encode("ascii", "ignore").decode()
    words = re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")
    allowed = (text for text in (name, plain, words, words.lower()) if re.fullmatch(platform.name, text))
    return next(allowed, "")
