"""What is counted of protection, and what each count counts: for the page and the document alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from portal import words
from reports.protection import Summary
from reports.templatetags.report_words import percent
from vprotect_bridge.models import WORST_FIRST, Protection


@dataclass(frozen=True)
class Counted:
    label: str
    value: str
    meaning: str


def protected_now(summary: Summary) -> Counted:
    counts = {"protected": summary.protected, "there": summary.there}
    return Counted(
        _("Machines protected now"),
        _("%(protected)s of %(there)s") % counts,
        _("Of the machines that exist: deleted ones are not counted."),
    )


def backups_counted(summary: Summary) -> Sequence[Counted]:
    ended = summary.good + summary.failed
    return (
        Counted(_("Backups that ended"), str(ended), _("In these days, whoever started them.")),
        Counted(
            _("Of them succeeded"),
            f"{summary.good} ({percent(summary.success_percent)})" if ended else "–",
            _("Also with warnings, and also those that were removed since."),
        ),
        Counted(
            _("Of them failed"),
            str(summary.failed),
            _("Each try counts, also where a later one succeeded."),
        ),
    )


def machines_by_status(summary: Summary) -> Sequence[Counted]:
    """Worst first, without those that nothing is left of."""
    return [
        Counted(str(words.PROTECTION[name].word), str(summary.counts[name]), str(words.PROTECTION[name].why))
        for name in WORST_FIRST
        if summary.counts.get(name) and name != Protection.GONE
    ]
