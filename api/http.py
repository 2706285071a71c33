"""From a request to an answer: the token, its tenant behind both walls, its role, its rate; every error as a problem.

No cookie is looked at, so that no other page can ask in somebody's name and no form needs a token against that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt
from django_scopes import scope

from api.bodies import body_of, query_of
from api.problems import Problem, invalid
from api.request import ApiRequest
from tenants.audit import ActingToken, acting_with, address_of
from tenants.models import Role
from tenants.request_rates import wait_of_stranger, wait_of_token
from tokens.bearer import Bearer, NoBearer, ShutOut, bearer_of, note_use
from vprotect_bridge.refusal import WishRefused

Answer = dict[str, Any] | HttpResponse
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="api", error="invalid_token"'}


@dataclass(frozen=True)
class Endpoint:
    """A method of an address. `role`: the least that a token needs; `answer` and `body` name `api.schemas`.

    `run` takes the request, what the address names and, where there is one, what `api.bodies` read.
    """

    id: str
    summary: str
    role: Role
    run: Callable[..., Answer]
    answer: str
    query: tuple[str, ...] = ()
    body: str = ""
    status: int = 200
    problems: tuple[str, ...] = ()


def view_of(methods: dict[str, Endpoint]) -> Callable[..., HttpResponse]:
    """The view of an address, by method."""

    @csrf_exempt
    @login_not_required  # asks for a token instead
    def view(request: HttpRequest, **named: Any) -> HttpResponse:
        endpoint = methods.get("GET" if request.method == "HEAD" else request.method or "")
        if endpoint is None:
            return Problem("method-not-allowed", headers={"Allow": ", ".join(methods)}).answer()
        with transaction.atomic():
            try:
                return _answer(cast(ApiRequest, request), endpoint, named)
            except Problem as problem:
                return problem.answer()

    return view


def _answer(request: ApiRequest, endpoint: Endpoint, named: dict[str, Any]) -> HttpResponse:
    bearer = _bearer(request)
    token, tenant = bearer.token, bearer.token.tenant
    request.token, request.tenant, request.membership = token, tenant, bearer.membership
    if wait := wait_of_token(str(token.pk), tenant.pk):
        raise _too_fast(wait)
    acting = ActingToken(token.pk, token.name, token.created_by_id)
    with scope(tenant=tenant), timezone.override("UTC"), acting_with(acting):
        note_use(token, address_of(request))
        if not bearer.membership.may(endpoint.role):
            raise Problem("not-allowed", _("Its role does not allow this."))
        return _run(request, endpoint, named)


def _bearer(request: ApiRequest) -> Bearer:
    try:
        return bearer_of(request.headers.get("Authorization", ""))
    except NoBearer:
        if wait := wait_of_stranger(address_of(request)):
            raise _too_fast(wait) from None
        raise Problem("invalid-token", headers=_CHALLENGE) from None
    except ShutOut as shut_out:
        raise Problem("token-refused", shut_out.user_message) from None


def _too_fast(wait: int) -> Problem:
    return Problem("too-fast", headers={"Retry-After": str(wait)})


def _run(request: ApiRequest, endpoint: Endpoint, named: dict[str, Any]) -> HttpResponse:
    request.query = query_of(request, endpoint.query)
    try:
        sent = {"body": body_of(request, endpoint.body)} if endpoint.body else {}
        answer = endpoint.run(request, **named, **sent)
    except Http404:
        raise Problem("not-found") from None
    except PermissionDenied:
        raise Problem("not-allowed", _("It is limited to some machines.")) from None
    except WishRefused as refused:
        raise _refusal(refused) from None
    if isinstance(answer, HttpResponse):
        return answer
    return JsonResponse(answer, status=endpoint.status, headers={"Cache-Control": "no-store"})


def _refusal(refused: WishRefused) -> Problem:
    field = FIELD_OF.get(refused.field, refused.field)
    return invalid(field, refused.user_message) if field else Problem("not-possible", refused.user_message)


# Fields of wishes that have another name here.
FIELD_OF = {"backup_type": "type", "backup": "restore_point", "hypervisor": "place", "cluster": "place"}
