from typing import Any

from django import template

from vprotect_bridge import health

register = template.Library()


@register.simple_tag
def needs_you() -> dict[str, Any]:
    """What waits for an operator; kinds of which there is nothing are left out."""
    return {name: count for name, count in health.needs_you().items() if count}
