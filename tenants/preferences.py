"""How a person reads, on pages and in mails alike: their language and their time zone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from tenants.audit import record_of
from tenants.models import Membership, Tenant, User
from tenants.wall import lower_wall


class PreferencesMiddleware:
    """Whoever chose no language gets their browser's; no time zone, the tenant's (`TenantMiddleware`)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with as_read_by(request.user):
            response = self.get_response(request)
            # LocaleMiddleware only knows what the browser wants.
            response.headers.setdefault("Content-Language", translation.get_language())
            return response


@contextmanager
def as_read_by(person: Any, tenant: Tenant | None = None, language: str = "") -> Iterator[None]:
    """Texts and times inside are this person's; a stranger's (None) are in `language`, if that is given."""
    chosen = getattr(person, "language", "")
    language = chosen if chosen in dict(settings.LANGUAGES) else language
    zone = getattr(person, "time_zone", "") or (tenant.time_zone if tenant else "")
    with ExitStack() as stack:
        if language:
            stack.enter_context(translation.override(language))
        if zone:
            stack.enter_context(timezone.override(zone))
        yield


def change_preferences(
    person: User, memberships: list[Membership], wanted: dict[str, str], *, address: str | None
) -> None:
    """`wanted`: name, language, time_zone, theme, or some of them.

    The name is what others see: each of the person's organisations finds the change in its audit. One transaction.
    """
    was = person.name
    for field, value in wanted.items():
        setattr(person, field, value)
    person.save(update_fields=list(wanted))
    if person.name != was:
        for membership in memberships:
            lower_wall(person, membership.tenant.slug)
            record_of(membership, "name_changed", address=address, was=was, now=person.name)
