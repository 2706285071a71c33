"""What Celery runs. A message is a doorbell without content: it may be lost, late or rung twice, and harms nothing."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from reports import chargeback, mailing, making, record
from vprotect_bridge import doorbell
from vprotect_bridge.client.errors import UpstreamError
from vprotect_bridge.connection import note_error, vprotect

logger = logging.getLogger(__name__)

MOST_RINGS = 20
# As long as a large one takes on a busy machine.
LONGEST_MAKING_SECONDS = 900


@shared_task
def record_usage() -> None:
    record.record_usage()
    record.forget_old_usage(timezone.now().date())


@shared_task(soft_time_limit=LONGEST_MAKING_SECONDS, time_limit=LONGEST_MAKING_SECONDS + 30)
def make_files() -> None:
    making.make_file()


@shared_task
def sweep_files() -> None:
    """Also rings for wishes whose ring was lost."""
    making.sweep()
    for _ in range(min(making.due().count(), MOST_RINGS)):
        doorbell.ring("reports.tasks.make_files")


@shared_task(soft_time_limit=LONGEST_MAKING_SECONDS, time_limit=LONGEST_MAKING_SECONDS + 30)
def send_mails() -> None:
    mailing.make_due()
    mailing.send_due()


@shared_task
def read_chargeback() -> None:
    """That vProtect is away is noted by the connection and no error of ours."""
    try:
        chargeback.read_chargeback(vprotect())
    except UpstreamError as error:
        note_error(error)
        logger.warning("chargeback was not read: %s", error)
