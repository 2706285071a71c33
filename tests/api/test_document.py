"""The description: valid OpenAPI 3.1, of exactly the routes that there are, and the same in docs/."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from jsonschema import Draft202012Validator

from api.document import document, problems_of
from api.endpoints import ROUTES
from api.problems import PROBLEMS
from api.schemas import EXAMPLES, SCHEMAS
from tests.access.conftest import routes
from tests.conftest import WebClient, is_under_the_policy

SOME_ID = "018f0000-0000-7000-8000-000000000000"
WITHOUT_TOKEN = {"api/v1/openapi.json", "api/v1/docs", "api/", "api/<path:rest>"}


def test_it_is_openapi():
    from openapi_spec_validator import validate

    validate(document())


@pytest.mark.django_db
def test_every_route_and_method_is_in_it_and_no_other():
    there = {route for route, _name in routes() if route.startswith("api/")} - WITHOUT_TOKEN
    described = {address.lstrip("/") for address in document()["paths"]}
    plain = {route.replace("<guid:guid>", "{machine}").replace("<uuid:operation_id>", "{operation}") for route in there}
    assert plain == described and len(described) == 10
    for address, method, _operation in operations():
        served = WebClient().generic(method.upper(), address.format(machine="vm-1", operation=SOME_ID))
        assert served.status_code == 401, "it is served, to who has a token"


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (address, m, operation) for address, methods in document()["paths"].items() for m, operation in methods.items()
    ]


def test_each_method_tells_its_errors():
    endpoints = {endpoint.id: endpoint for _address, _name, methods in ROUTES for endpoint in methods.values()}
    for address, _method, operation in operations():
        endpoint = endpoints[operation["operationId"]]
        problems = {str(PROBLEMS[kind][0]) for kind in problems_of(endpoint)}
        assert set(operation["responses"]) == {str(endpoint.status), *problems}
        assert {"401", "403", "429", "500"} <= problems and ("404" in problems) is ("{" in address)


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_one(name: str):
    Draft202012Validator.check_schema(SCHEMAS[name])


def fields_of(schema: dict[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in schema.get("properties", {}).items():
        yield f"{place}.{name}", field
        yield from fields_of(field, f"{place}.{name}")
    for inner in (schema.get("items", {}), *schema.get("anyOf", [])):
        yield from fields_of(inner, place) if inner else ()


def test_each_field_and_parameter_is_described():
    fields = [found for name, schema in SCHEMAS.items() for found in fields_of(schema, name)]
    parameters = [
        (f"{address} {p['name']}", p) for address, _m, operation in operations() for p in operation["parameters"]
    ]
    assert len(fields) > 60 and [name for name, field in fields + parameters if not field.get("description")] == []


def test_each_body_has_an_example_that_fits():
    for address, method, operation in operations():
        assert ("requestBody" in operation) is (method == "post"), address
    for name, example in EXAMPLES.items():
        Draft202012Validator(SCHEMAS[name]).validate(example)
    assert [name for name in SCHEMAS if name.endswith("Wish")] == list(EXAMPLES)


def test_every_status_that_is_answered_can_be_asked_for():
    (status,) = (p for p in document()["paths"]["/api/v1/machines"]["get"]["parameters"] if p["name"] == "status")
    for value in SCHEMAS["Machine"]["properties"]["status"]["enum"]:
        assert re.fullmatch(status["schema"]["pattern"], value), value


def test_the_file_is_the_same():
    """manage.py openapi > docs/openapi.json"""
    printed = StringIO()
    call_command("openapi", stdout=printed)
    kept = (Path(settings.BASE_DIR) / "docs/openapi.json").read_text()
    assert json.loads(kept) == json.loads(printed.getvalue())


@pytest.mark.django_db
def test_it_is_served_to_anybody_and_so_is_its_page():
    browser: Client = WebClient()
    answer = browser.get("/api/v1/openapi.json")
    assert answer.json() == json.loads(json.dumps(document())) and answer["Content-Type"] == "application/json"
    page: Any = browser.get("/api/v1/docs")
    text = page.content.decode()
    assert is_under_the_policy(text) and page.status_code == 200
    for address in document()["paths"]:
        assert address in text
    assert re.search(r"<code>expires_at</code> <small>time</small>", text)
    assert "--json '{&quot;type&quot;: &quot;full&quot;" in text
    assert 'href="/"' in page.content.decode().split("<main")[1], "a way to the portal"
    for kind in PROBLEMS:
        assert f'id="{kind}"' in text, "where a problem's type leads"
