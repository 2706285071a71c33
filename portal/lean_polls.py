"""The lean path: the poll of an operation's page while nothing is new, which is most of what a web process is asked.

It stands before sessions, people, languages and pages, and costs two statements: the session, and one call that tells
the database the person and the tenant and reads the operation behind both walls (`operation_as_seen`, a migration of
`vprotect_bridge`). It has one answer, 204. Whatever it is not sure of goes the way of every request: news, a person
who may not, a second factor that is missing, too many requests, a session that is odd.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from allauth.account.internal.flows.login import get_authentication_records
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import MiddlewareNotUsed
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls.converters import UUIDConverter
from django.utils.cache import add_never_cache_headers
from django.utils.crypto import constant_time_compare

from portal import polls
from tenants.models import User
from tenants.request_rates import wait_of_person
from tenants.single_sign_on import provider_key_in

ADDRESS = re.compile(rf"/t/(?P<slug>[-a-zA-Z0-9_]+)/operations/(?P<operation>{UUIDConverter.regex})/poll")
_SESSION = "SELECT session_data FROM django_session WHERE session_key = %s AND expire_date > now()"
_SEEN = """
    SELECT password, tenant_id, needs_second_factor, version, away_since
    FROM operation_as_seen(%s, %s, %s, %s)
"""


class LeanPollMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        if settings.PROCESS != "web":
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        address = ADDRESS.fullmatch(request.path_info) if request.method == "GET" else None
        if address and _is_nothing_new(request, address["slug"], UUID(address["operation"])):
            response = HttpResponse(status=204)
            add_never_cache_headers(response)
            return response
        return self.get_response(request)


def _is_nothing_new(request: HttpRequest, slug: str, operation: UUID) -> bool:
    """For a person who may see this operation and whose page shows it as it is."""
    session = _session(request.COOKIES.get(settings.SESSION_COOKIE_NAME, ""))
    if session.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return False
    person = User(pk=User._meta.pk.to_python(session[SESSION_KEY]))
    records = get_authentication_records(SimpleNamespace(session=session), person)
    seen = _first(_SEEN, [person.pk, slug, provider_key_in(records), operation])
    if seen is None:
        return False
    person.password, tenant_id, needs_second_factor, version, away_since = seen
    return (
        constant_time_compare(session.get(HASH_SESSION_KEY, ""), person.get_session_auth_hash())
        and (not needs_second_factor or any(record["method"] == "mfa" for record in records))
        and request.GET.get("seen") == polls.word_for([(operation, version, away_since)])
        and not wait_of_person(person.pk, tenant_id)
    )


def _session(key: str) -> Mapping[str, Any]:
    """What is in it; nothing where there is none, or it was not signed by us."""
    found = _first(_SESSION, [key]) if key else None
    return SessionStore(key).decode(found[0]) if found else {}


def _first(statement: str, values: list[Any]) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()
