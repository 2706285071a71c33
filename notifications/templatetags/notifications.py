"""The bell of every page."""

from __future__ import annotations

from django import template
from django.template import Context
from django_scopes import get_scope

from notifications.access import MOST_COUNTED, unread
from vprotect_bridge.models import UpstreamStatus

register = template.Library()


@register.simple_tag(takes_context=True)
def unread_count(context: Context) -> str:
    """How many news a person has not read in the tenant; empty for none. Read along with how vProtect is.

    A page that read that itself costs a statement more. What is told a member before the tenant opens, that they ask
    too fast or need a second factor, is outside of its scope and says nothing of it.
    """
    if "tenant" not in get_scope():
        return ""
    count = getattr(context["upstream"], "unread", None)
    if count is None:
        counted = unread(context["request"].membership)
        count = UpstreamStatus.objects.filter(pk=1).values_list(counted, flat=True).first() or 0
    return "" if not count else str(count) if count <= MOST_COUNTED else f"{MOST_COUNTED}+"
