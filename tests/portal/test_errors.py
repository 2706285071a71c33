"""What people see when it is our fault."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (OperationalError("connection refused"), 503, "The portal's database cannot be reached right now."),
        (RuntimeError("secret detail"), 500, "Something went wrong on our side"),
    ],
)
def test_an_error_of_ours_says_what_to_do_and_nothing_else(
    error: Exception, status: int, sentence: str, browser: Client, monkeypatch: pytest.MonkeyPatch
):
    def fail(*args: Any) -> None:
        raise error

    monkeypatch.setattr("portal.access.visible_plans", fail)
    browser.raise_request_exception = False
    answer = browser.get("/t/sunflower/plans/")
    page = answer.content.decode().replace("&#x27;", "'")
    assert answer.status_code == status and sentence in page
    assert "secret" not in page and "refused" not in page
