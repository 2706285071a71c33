"""Answers what only vProtect knows now; the page that asked polls the row."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import UpstreamError
from vprotect_bridge.client.types import Listing
from vprotect_bridge.models import Question

logger = logging.getLogger(__name__)

KEPT_FOR = timedelta(hours=1)


def answer_questions(api: VProtect) -> int:
    """Answers every open question once; returns how many. Asking twice is harmless, it changes nothing upstream.

    When vProtect does not answer at all, the others fail with the first: pages wait for them.
    """
    Question.across_tenants.filter(asked_at__lt=timezone.now() - KEPT_FOR).delete()
    open_questions = Question.across_tenants.filter(answered_at__isnull=True).order_by("asked_at")
    answered = 0
    for question in open_questions.select_related("machine"):
        try:
            answer, failed = _ask(api, question)
        except UpstreamError as error:
            logger.warning("question %s: %s", question.pk, error)
            if not error.was_answered:
                return answered + _write(open_questions, {"guids": []}, failed=True)
            answer, failed = {"guids": []}, True
        answered += _write(open_questions.filter(pk=question.pk), answer, failed=failed)
    return answered


def _ask(api: VProtect, question: Question) -> tuple[dict[str, list[str]], bool]:
    listing: Listing[Any]
    if question.kind == Question.Kind.MOUNTABLE_BACKUPS:
        listing = api.mounts.candidates(question.machine.guid)
    elif question.kind == Question.Kind.RESTORE_TARGETS:
        listing = api.list_hypervisors(backup_to_be_restored=question.backup_guid)
    else:
        listing = api.usable_destinations([question.machine.guid])
    return {"guids": [row.guid for row in listing.items]}, not listing.complete


def _write(questions: QuerySet[Question], answer: dict[str, list[str]], *, failed: bool) -> int:
    return questions.update(answer=answer, failed=failed, answered_at=timezone.now())
