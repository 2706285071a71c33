"""What Celery runs. A message is a doorbell without content: it may be lost, late or rung twice, and harms nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps

from celery import shared_task

from vprotect_bridge import (
    alerts,
    browsing,
    doorbell,
    fetching,
    plan_changes,
    plan_sync,
    questions,
    retention,
    spool,
    sync,
)
from vprotect_bridge import follow as following
from vprotect_bridge import mounts as mounting
from vprotect_bridge import submit as submitting
from vprotect_bridge.client.errors import UpstreamError
from vprotect_bridge.connection import note_error, own_connection, try_lock, vprotect

logger = logging.getLogger(__name__)

MOST_RINGS = 50


def _alone(function: Callable[[], None]) -> Callable[[], None]:
    """Runs the job in one process at a time: two beats, or a cycle longer than its period, are harmless.

    That vProtect is away is noted by the connection and no error of ours.
    """

    @wraps(function)
    def job() -> None:
        with own_connection() as pg:
            if try_lock(pg, function.__name__):
                try:
                    function()
                except UpstreamError as error:
                    note_error(error)
                    logger.warning("%s: %s", function.__name__, error)

    return job


@shared_task
def submit() -> None:
    operation = submitting.submit(vprotect())
    if operation is not None and operation.is_bulk:
        doorbell.ring_submit()  # many were asked for by one ring


@shared_task
@_alone
def reconcile() -> None:
    due = submitting.reconcile(vprotect())
    for _ in range(min(due, MOST_RINGS)):
        doorbell.ring_submit()


@shared_task
@_alone
def follow() -> None:
    following.follow(vprotect())


@shared_task
@_alone
def sync_inventory() -> None:
    sync.sync_inventory(vprotect())


@shared_task
@_alone
def sync_backups() -> None:
    sync.sync_backups(vprotect())


@shared_task
@_alone
def sync_plans() -> None:
    plan_sync.sync_plans(vprotect())


@shared_task
@_alone
def plans() -> None:
    plan_changes.follow_clocks()
    plan_changes.work_on_changes(vprotect())
    plan_changes.look_at_wanted(vprotect())


@shared_task
@_alone
def watch() -> None:
    alerts.watch()


@shared_task
@_alone
def remove_old() -> None:
    retention.remove_old()


# As long as a folder of a hundred thousand takes on a busy machine.
LONGEST_READING_SECONDS = 240


@shared_task(soft_time_limit=LONGEST_READING_SECONDS, time_limit=LONGEST_READING_SECONDS + 30)
def answer() -> None:
    questions.answer_questions(vprotect())
    browsing.answer_folders(vprotect())


@shared_task
@_alone
def mounts() -> None:
    mounting.follow_mounts(vprotect())
    # Those for which the ring was lost. They are not read here: what is to be closed would wait for a large one.
    if browsing.has_waiting():
        doorbell.ring_answer()


# As long as a large file over a slow line takes; each piece of it has a deadline of its own.
LONGEST_FETCH_SECONDS = 12 * 3600


@shared_task(soft_time_limit=LONGEST_FETCH_SECONDS, time_limit=LONGEST_FETCH_SECONDS + 60)
def fetch() -> None:
    fetching.fetch(vprotect())


@shared_task
@_alone
def sweep_spool() -> None:
    spool.sweep()
    for _ in range(min(fetching.due(), MOST_RINGS)):
        doorbell.ring_fetch()
