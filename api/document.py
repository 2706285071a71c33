"""The API in OpenAPI 3.1, from the endpoints themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings

from api.bodies import VALUES
from api.endpoints import ROUTES
from api.http import Endpoint
from api.problems import PROBLEMS
from api.schemas import EXAMPLES, SCHEMAS

Part = dict[str, Any]
ALWAYS = ("unreadable", "invalid-token", "not-allowed", "token-refused", "too-fast", "server-error", "unavailable")
MEANINGS = {
    "limit": "How many on a page; 50 if it is left out.",
    "cursor": "next_cursor of the page before.",
    "status": "Only machines that are so; gone ones, of which nothing is left, are listed only if asked for.",
    "plan": "Only machines of the plan with this id; none = without a plan.",
    "q": "In the name, the project or at the beginning of the id.",
}


def document() -> Part:
    paths: dict[str, Part] = {}
    for route, _name, methods in ROUTES:
        address = re.sub(r"<\w+:(\w+)>", lambda found: f"{{{_PLACES[found[1]]}}}", route)
        paths[f"/api/v1/{address}"] = {
            method.lower(): _operation(endpoint, address) for method, endpoint in methods.items()
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Backup portal", "version": "1", "summary": "Back up and restore your machines by program."},
        "servers": [{"url": settings.PORTAL_URL}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "vpt_…"}},
        },
    }


_PLACES = {"guid": "machine", "operation_id": "operation"}


def _operation(endpoint: Endpoint, address: str) -> Part:
    described = {
        "operationId": endpoint.id,
        "summary": endpoint.summary,
        "description": f"For tokens of the role {endpoint.role.value} and those above it.",
        "parameters": [*_in_path(address), *map(_in_query, endpoint.query), *_in_header(endpoint)],
        "responses": {str(endpoint.status): _success(endpoint), **_failures(endpoint)},
    }
    if endpoint.body:
        schema = {"$ref": f"#/components/schemas/{endpoint.body}"}
        content = {"application/json": {"schema": schema, "example": EXAMPLES[endpoint.body]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _in_path(address: str) -> Iterator[Part]:
    for name in re.findall(r"\{(\w+)\}", address):
        told = {"description": "The id, as another answer told it.", "schema": {"type": "string"}}
        yield {"name": name, "in": "path", "required": True, **told}


def _in_query(name: str) -> Part:
    schema: Part = {"type": "string", "pattern": f"^({VALUES[name][0]})$"}
    if name == "limit":
        schema = {"type": "integer", "minimum": 1, "maximum": 100}
    return {"name": name, "in": "query", "description": MEANINGS[name], "schema": schema}


def _in_header(endpoint: Endpoint) -> Iterator[Part]:
    if "key-missing" in endpoint.problems:
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "description": "One per wish. Sent again within a day it is answered again, and nothing is done twice.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }


def _success(endpoint: Endpoint) -> Part:
    schema = {"$ref": f"#/components/schemas/{endpoint.answer}"}
    found: Part = {"description": endpoint.summary, "content": {"application/json": {"schema": schema}}}
    if endpoint.status == 202:
        found["headers"] = {
            "Location": {"description": "Where to follow it.", "schema": {"type": "string"}},
            "Idempotency-Replayed": {"description": "true: answered before.", "schema": {"type": "string"}},
        }
    return found


def problems_of(endpoint: Endpoint) -> set[str]:
    found = {*ALWAYS, *endpoint.problems}
    if endpoint.query or endpoint.body:
        found.add("invalid")
    if endpoint.body:
        found |= {"too-large", "unsupported-media-type"}
    return found


def _failures(endpoint: Endpoint) -> dict[str, Part]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    by_status: dict[int, list[str]] = {}
    for kind in sorted(problems_of(endpoint)):
        by_status.setdefault(PROBLEMS[kind][0], []).append(kind)
    return {
        str(status): {"description": ", ".join(by_status[status]), "content": content} for status in sorted(by_status)
    }


# ── As a page ────────────────────────────────────────────────────────────────


def pages_of(api: Part) -> list[Part]:
    """What the page shows of each operation."""
    return [
        {
            "method": method.upper(),
            "address": address,
            "parameters": operation["parameters"],
            "fields": _fields(api, operation.get("requestBody", {})),
            "answers": _fields(api, next(iter(operation["responses"].values()))),
            "statuses": operation["responses"],
            "example": _example(operation),
            **operation,
        }
        for address, methods in api["paths"].items()
        for method, operation in methods.items()
    ]


def _example(operation: Part) -> str:
    """The body of one that sends any, as it is typed into a shell."""
    content = operation.get("requestBody", {}).get("content", {})
    return json.dumps(content["application/json"]["example"]) if content else ""


_KINDS = {"integer": "number", "boolean": "true or false", "array": "list", "object": "object"}


def _kind(field: Part) -> str:
    """ "text or null": what a value of the field is."""
    types = [choice.get("type", []) for choice in field.get("anyOf", [field])]
    words = [word for found in types for word in ([found] if isinstance(found, str) else found)]
    as_text = {"date-time": "time", "uri": "address"}.get(field.get("format", ""), "text")
    return " or ".join({**_KINDS, "string": as_text}.get(word, word) for word in words)


def _fields(api: Part, holder: Part) -> list[Part]:
    """Of the object that is sent or answered; of a list, those of its items."""
    if not holder:
        return []
    name = holder["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = api["components"]["schemas"][name]
    items = schema["properties"].get("items", {}).get("items")
    if items:
        schema = api["components"]["schemas"][items["$ref"].rpartition("/")[2]] if "$ref" in items else items
    return [
        {
            "name": name,
            "is_required": name in schema["required"],
            "kind": _kind(field),
            "description": field.get("description", ""),
            "values": field.get("enum", []),
        }
        for name, field in schema["properties"].items()
    ]
