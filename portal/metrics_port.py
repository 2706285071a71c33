"""Where Prometheus reads figures: a port of its own in each process, which no proxy and no tenant reaches.

Web, operator and workers count in their children, into files that the main process adds up; beat, of which there is
one, tells what is a fact of the database (`vprotect_bridge.facts`).
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import sys
import tempfile

from prometheus_client import CollectorRegistry, start_http_server, values
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from portal import environment

logger = logging.getLogger(__name__)


def _address() -> tuple[str, int] | None:
    return environment.host_and_port("METRICS_ADDRESS")


def begin() -> None:
    """In the main process, before it has children: from here on they count into files."""
    if _address() is None:
        return
    folder = tempfile.mkdtemp(prefix="portal-metrics-")
    atexit.register(_forget, folder, os.getpid())
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    values.ValueClass = values.MultiProcessValue(_place)


def serve(*facts: Collector) -> None:
    """Answers /metrics in a thread of this process. A port that is taken costs the figures, not the service."""
    if (address := _address()) is None:
        return
    registry = CollectorRegistry()
    if not facts:
        MultiProcessCollector(registry)
    for collector in facts:
        registry.register(collector)
    host, port = address
    try:
        start_http_server(port, host, registry)
    except OSError as error:
        logger.error("No metrics: %s:%s cannot be listened on: %s", host, port, error.strerror)


def _forget(folder: str, main: int) -> None:
    if os.getpid() == main:  # children inherit what is to be done at the end
        shutil.rmtree(folder, ignore_errors=True)


def _place() -> str:
    """One name for all children that follow each other in a place of Celery's pool, so that files do not pile up."""
    billiard = sys.modules.get("billiard.process")
    index = getattr(billiard.current_process(), "index", None) if billiard else None
    return f"{os.getpid()}" if index is None else f"place{index}"
