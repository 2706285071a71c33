"""What Celery runs. A message is a doorbell without content: it may be lost, late or rung twice, and harms nothing."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from reports import record


@shared_task
def record_usage() -> None:
    record.record_usage()
    record.forget_old_usage(timezone.now().date())
