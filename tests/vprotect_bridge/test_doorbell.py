"""The broker: told how much waits in it, and never waited for."""

from __future__ import annotations

import socket
import time
from functools import partial

import pytest
from celery import current_app

from vprotect_bridge import doorbell


def broker_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_app, "connection_for_read", partial(current_app.connection_for_read, url))


def test_rings_are_counted():
    before = doorbell.waiting()
    doorbell.ring_fetch()
    after = doorbell.waiting()
    assert before is not None and after is not None
    assert after["downloads"] == before["downloads"] + 1 and set(after) == set(doorbell.QUEUES)


def test_one_that_is_away_is_said_to_be_at_once(monkeypatch: pytest.MonkeyPatch):
    broker_at("redis://127.0.0.1:1/0", monkeypatch)
    began = time.monotonic()
    assert doorbell.waiting() is None
    assert time.monotonic() - began < 2


def test_one_that_hangs_is_waited_for_a_moment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doorbell, "LOOK_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker_at(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", monkeypatch)
        began = time.monotonic()
        assert doorbell.waiting() is None
        assert time.monotonic() - began < 2.5
