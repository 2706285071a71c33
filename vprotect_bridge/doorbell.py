"""Rings for a worker. A lost ring costs time, never a wish: the reconciler rings again."""

import logging

from celery import current_app

logger = logging.getLogger(__name__)


def ring_submit() -> None:
    """There is a wish to send."""
    ring("vprotect_bridge.tasks.submit")


def ring_answer() -> None:
    """There is a question to answer."""
    ring("vprotect_bridge.tasks.answer")


def ring_plans() -> None:
    """There is a change of a plan to put in place."""
    ring("vprotect_bridge.tasks.plans")


def ring_watch() -> None:
    """There is another target to hold machines against."""
    ring("vprotect_bridge.tasks.watch")


def ring_mounts() -> None:
    """There is an open backup to close."""
    ring("vprotect_bridge.tasks.mounts")


def ring_fetch() -> None:
    """There is a download to fetch."""
    ring("vprotect_bridge.tasks.fetch")


QUEUES = ("submit", "follow", "inventory", "downloads", "notifications")
LOOK_SECONDS = 1


def waiting() -> dict[str, int] | None:
    """How many rings no worker has heard yet, by queue; None = the broker does not answer. Takes a second at most."""
    options = {"socket_timeout": LOOK_SECONDS, "socket_connect_timeout": LOOK_SECONDS}
    options |= {"max_retries": 1, "interval_start": 0, "interval_step": 0}
    try:
        with current_app.connection_for_read(transport_options=options) as connection:
            channel = connection.default_channel
            return {queue: channel._size(queue) for queue in QUEUES}
    except Exception as error:
        logger.info("the broker does not answer: %s", type(error).__name__)
        return None


def ring(task: str) -> None:
    """For the small apps beside the portal, by the task's whole name."""
    try:
        current_app.send_task(task, expires=60)
    except Exception as error:
        logger.warning("%s was not rung for, the sweep will find it: %s", task, type(error).__name__)
