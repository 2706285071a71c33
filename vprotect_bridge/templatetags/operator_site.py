from datetime import datetime

from django import template

from vprotect_bridge import health

register = template.Library()


@register.simple_tag
def needs_you() -> dict[str, int]:
    """What waits for an operator; kinds of which there is nothing are left out."""
    return {name: count for name, count in health.needs_you().items() if count}


@register.simple_tag
def oldest_alert() -> datetime | None:
    return health.oldest_alert()
