"""What Celery runs; like all its messages a ring without content (`vprotect_bridge.tasks`)."""

from __future__ import annotations

from celery import shared_task

from notifications import sorting

MOST_BATCHES = 20


@shared_task
def sort() -> None:
    for _ in range(MOST_BATCHES):
        if not sorting.sort():
            break
