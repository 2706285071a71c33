"""A program with a token; whatever it is answered is held against the API's own description."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.urls import resolve
from django.utils import timezone
from jsonschema import Draft202012Validator

from api.document import document, problems_of
from api.endpoints import ROUTES
from api.problems import PROBLEMS
from tenants.models import Grant, Role, Tenant, User
from tests.conftest import WebClient, machine_of, person
from tests.tokens.conftest import token_of
from vprotect_bridge.models import Backup, Destination, Machine, UpstreamStatus

METHODS = {name: methods for _address, name, methods in ROUTES}


class Program:
    """Asks as web does, and checks each answer."""

    def __init__(self, secret: str | None) -> None:
        self.secret = secret
        self.browser = WebClient(raise_request_exception=False)

    def ask(self, method: str, address: str, body: Any = None, **headers: str) -> Any:
        if self.secret:
            headers = {"Authorization": f"Bearer {self.secret}", **headers}
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        kind = headers.pop("content_type", "application/json")
        answer = self.browser.generic(method, f"/api/v1/{address}", raw, kind, headers=headers)
        assert_as_described(method, address, answer)
        return answer

    def get(self, address: str, **headers: str) -> Any:
        return self.ask("GET", address, **headers)

    def wish(self, address: str, body: Any, key: str | None = None, **headers: str) -> Any:
        return self.ask("POST", address, body, **{"Idempotency-Key": key or str(uuid4()), **headers})


def assert_as_described(method: str, address: str, answer: Any) -> None:
    """Its status and its body are what the description promises of this method of this address."""
    name = resolve(f"/api/v1/{address.partition('?')[0]}").url_name
    endpoint = METHODS.get(str(name), {}).get(method)
    is_problem = answer.status_code >= 400
    assert answer["Content-Type"] == ("application/problem+json" if is_problem else "application/json")
    assert "no-store" in answer["Cache-Control"] and not answer.cookies
    if is_problem:
        kind = answer.json()["type"].rpartition("#")[2]
        assert PROBLEMS[kind] == (answer.status_code, answer.json()["title"])
        assert endpoint is None or kind in problems_of(endpoint) or kind == "not-found", kind
        assert answer.json()["type"].startswith(settings.PORTAL_URL)
    else:
        assert endpoint is not None and answer.status_code == endpoint.status
    check("Problem" if is_problem else endpoint.answer, answer.json())


def check(schema: str, body: Any) -> None:
    whole = {"$ref": f"#/components/schemas/{schema}", "components": document()["components"]}
    errors = [f"{list(e.absolute_path)}: {e.message}" for e in Draft202012Validator(whole).iter_errors(body)]
    assert not errors, errors


def program_of(tenant: Tenant, owner: User | None = None, **fields: Any) -> Program:
    return Program(token_of(tenant, owner, **fields)[1])


@pytest.fixture
def tenant(sunflower: Tenant) -> Tenant:
    for guid, name in (("store-1", "Main store"), ("store-2", "Archive")):
        Destination.objects.create(guid=guid, name=name, is_default=guid == "store-1")
        Grant.across_tenants.create(tenant=sunflower, kind=Grant.Kind.DESTINATION, guid=guid)
    UpstreamStatus.objects.update(inventory_at=timezone.now())
    return sunflower


@pytest.fixture
def restorer(tenant: Tenant) -> User:
    return person(tenant, "restorer", Role.RESTORER)


@pytest.fixture
def program(tenant: Tenant, restorer: User) -> Program:
    return program_of(tenant, restorer, name="Deploy")


@pytest.fixture
def machine(tenant: Tenant) -> Machine:
    machine = machine_of(tenant)
    Machine.across_tenants.update(platform="KVM", protection="protected")
    machine.refresh_from_db()
    return machine


MakePoint = Callable[..., Backup]


def point_of(machine: Machine, guid: str, **fields: Any) -> Backup:
    usual = {"status": "SUCCESS", "type": "FULL", "sort_at": timezone.now(), "size": 3 * 1024**3}
    return Backup.across_tenants.create(guid=guid, machine=machine, tenant=machine.tenant, **{**usual, **fields})
