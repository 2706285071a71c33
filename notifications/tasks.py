"""What Celery runs; like all its messages a ring without content (`vprotect_bridge.tasks`)."""

from __future__ import annotations

from celery import shared_task

from notifications import mailing, retention, sorting, webhooks
from vprotect_bridge.connection import own_connection, try_lock

MOST_BATCHES = 20


@shared_task
def sort() -> None:
    """In one process at a time: what fails together is one mail, whoever rings how often."""
    with own_connection() as pg:
        if not try_lock(pg, "notifications.sort"):
            return
        for _ in range(MOST_BATCHES):
            if not sorting.sort():
                break
        mailing.make_news()
        mailing.make_digests()


@shared_task
def send_mails() -> None:
    mailing.send_due()


@shared_task
def call_webhooks() -> None:
    webhooks.call_due()


@shared_task
def remove_old() -> None:
    retention.remove_old()
