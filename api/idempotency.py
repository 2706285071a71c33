"""The same wish twice is one: by its Idempotency-Key, which is kept for a day."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import connection
from django.utils import timezone

from api.models import IdempotencyKey
from api.problems import Problem
from api.request import ApiRequest
from tokens.models import Token

KEPT_FOR = timedelta(hours=24)


def once(request: ApiRequest, body: dict[str, Any], act: Callable[[UUID], dict[str, Any]]) -> tuple[str, bool]:
    """What `act` answers, which is given the key of the operation to make; and whether it was answered before.

    Only what was made is kept: what was refused may be tried again with the same key. Raises `Problem`.
    """
    key = request.headers.get("Idempotency-Key", "")
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        raise Problem(
            "key-missing", "Send an Idempotency-Key of 1 to 255 visible ASCII characters, a new one per wish."
        )
    if not _is_alone(request, key):
        raise Problem("in-flight", "Ask again in a moment.", headers={"Retry-After": "1"})
    IdempotencyKey.objects.filter(created_at__lt=timezone.now() - KEPT_FOR).delete()
    digest = hashlib.sha256(json.dumps([request.path, body], sort_keys=True).encode()).hexdigest()
    kept = IdempotencyKey.objects.filter(token=request.token, key=key).first()
    if kept is None:
        client_key = uuid4()
        answer = json.dumps(act(client_key))
        IdempotencyKey.objects.create(
            tenant=request.tenant, token=request.token, key=key, digest=digest, client_key=client_key, answer=answer
        )
        return answer, False
    if kept.digest != digest:
        raise Problem("key-reused", "Take another key for another wish.")
    return kept.answer, True


def _is_alone(request: ApiRequest, key: str) -> bool:
    """Until the end of the transaction nobody else works on this key of this token."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_number_of(request.token, key)])
        return bool(cursor.fetchone()[0])


def _number_of(token: Token, key: str) -> int:
    """64 bits, signed: two keys that share them only wait for each other."""
    return int.from_bytes(hashlib.sha256(f"{token.pk} {key}".encode()).digest()[:8], "big", signed=True)
