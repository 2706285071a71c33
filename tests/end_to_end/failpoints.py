"""Web and workers with places where they die or freeze; the product itself knows nothing of them.

A file says where and how, as in `after commit_intent kill`. The first process that comes there takes the file away, by
renaming it to its own process number, and then does it: `kill` ends all of its processes, `freeze` stops this one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

from celery.__main__ import main as run_celery
from celery.signals import worker_process_init


def web() -> Callable[..., Any]:
    """For gunicorn: the place before the commit of a wish, and those around its bell."""
    from portal.wsgi import application
    from vprotect_bridge import services

    _make_fragile(services, "_keep", "ring_submit")
    return application


def _worker(**_: Any) -> None:
    """The five steps of the protocol, and the middle of a cycle of each poller."""
    from vprotect_bridge import follow, submit, sync

    _make_fragile(submit, "claim", "look_up", "commit_intent", "post_once", "record")
    _make_fragile(follow, "look_at_console")
    _make_fragile(sync, "_mark_vanished")


def _make_fragile(module: ModuleType, *names: str) -> None:
    for name in names:
        setattr(module, name, _fragile(name, getattr(module, name)))


def _fragile(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def step(*args: Any, **kwargs: Any) -> Any:
        _arrive(f"before {name}")
        result = real(*args, **kwargs)
        _arrive(f"after {name}")
        return result

    return step


def _arrive(place: str) -> None:
    order = Path(os.environ["FAILPOINT"])
    try:
        where, _, how = order.read_text().rpartition(" ")
        if where != place:
            return
        order.rename(order.with_suffix(f".{os.getpid()}"))
    except FileNotFoundError:
        return
    if how == "kill":
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    worker_process_init.connect(_worker)
    run_celery()
