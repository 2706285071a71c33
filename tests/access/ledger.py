"""A pytest plugin for `make access`: how many requests the tests made, and how many were answered as expected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

made = 0
_request = Client.request


def _counted(self: Client, **request: Any) -> Any:
    global made
    made += 1
    return _request(self, **request)


def pytest_configure(config: pytest.Config) -> None:
    Client.request = _counted  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    before = made
    try:
        return (yield)
    finally:
        item.user_properties.append(("requests", made - before))


class _Sum:
    tried = expected = failed = 0


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        requests = dict(report.user_properties).get("requests", 0)
        _Sum.tried += requests
        _Sum.expected += requests if report.passed else 0
    _Sum.failed += report.failed


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """A test that fails stands for a leak, however many requests it made before."""
    terminalreporter.ensure_newline()
    line = f"access: {_Sum.tried} requests tried, {_Sum.expected} as expected, {_Sum.failed} leaks"
    terminalreporter.write_line(line, red=bool(_Sum.failed), green=not _Sum.failed)
