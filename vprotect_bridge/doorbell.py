"""Rings for a worker. A lost ring costs time, never a wish: the reconciler rings again."""

import logging

from celery import current_app

logger = logging.getLogger(__name__)


def ring_submit() -> None:
    """There is a wish to send."""
    _ring("vprotect_bridge.tasks.submit")


def ring_answer() -> None:
    """There is a question to answer."""
    _ring("vprotect_bridge.tasks.answer")


def ring_plans() -> None:
    """There is a change of a plan to put in place."""
    _ring("vprotect_bridge.tasks.plans")


def ring_mounts() -> None:
    """There is an open backup to close."""
    _ring("vprotect_bridge.tasks.mounts")


def ring_fetch() -> None:
    """There is a download to fetch."""
    _ring("vprotect_bridge.tasks.fetch")


def _ring(task: str) -> None:
    try:
        current_app.send_task(task, expires=60)
    except Exception as error:
        logger.warning("%s was not rung for, the sweep will find it: %s", task, type(error).__name__)
