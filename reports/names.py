"""What reports call destinations, plans and machines that a tenant does not know by name."""

from __future__ import annotations

from django.utils.translation import gettext as _

from reports.usage import Line, MachineLine, Usage


def destination_name(usage: Usage, guid: str) -> str:
    """A tenant knows the names of what it was granted."""
    return usage.destinations.get(guid) or (_("another destination") if guid else _("unknown"))


def plan_name(usage: Usage, key: str, name: str) -> str:
    """`name` is empty of plans that are not made here."""
    if key:
        return name or _("Your provider's plan")
    return _("No plan, or not known") if usage.reconstructed else _("No plan")


def machine_name(line: Line) -> str:
    return line.name or _("A machine that is no longer yours")


def plan_of(usage: Usage, line: MachineLine) -> str:
    return plan_name(usage, line.plan_id, line.plan_name)
