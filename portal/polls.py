"""Polls: the cheap question first, the page only when there is news.

A live part carries `seen`, a word for what it shows, and its poll names it again. While the word is the same the answer
is 204 and costs four statements: the session, the person, the wall with the membership, and the one that makes the word
(docs/architecture.md, "Pages"). Nothing is let through on the way: the middleware and `portal.access` decide as for
every page, and what has become foreign or unknown is 404, not "nothing new".
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from typing import Any

from django.db.models import QuerySet, Subquery
from django.http import HttpRequest, HttpResponse

from vprotect_bridge.models import Operation, UpstreamStatus

# Read along with the rows, since it changes what they say. Costs no statement of its own.
AWAY_SINCE = Subquery(UpstreamStatus.objects.filter(pk=1).values("unreachable_since"))

# Hexadecimal digits: one change in a hundred million is taken for none, until the row's next.
WORD_OF_ROW = 7


def operations_shown(operations: QuerySet[Operation]) -> list[tuple[Any, ...]]:
    """What `word_for` takes, of these operations: in one statement, without loading them."""
    return list(operations.values_list("pk", "version", AWAY_SINCE))


def shown(operations: Iterable[Operation], away_since: datetime | None) -> list[tuple[Any, ...]]:
    """The same of operations that are loaded."""
    return [(operation.pk, operation.version, away_since) for operation in operations]


def word_for(rows: Iterable[tuple[Any, ...]]) -> str:
    """Another word as soon as a row came, went, moved or changed in what tells it apart as text."""
    return blake2b(repr([tuple(map(str, row)) for row in rows]).encode(), digest_size=9).hexdigest()


def words_for(rows: Iterable[tuple[Any, ...]]) -> str:
    """The same for a list whose poll brings only the rows that changed: a short word for each."""
    return ".".join(word_for([row])[:WORD_OF_ROW] for row in rows)


def is_in_words(row: tuple[Any, ...], words: str) -> bool:
    """Whether what the page shows of this row is what there is."""
    return bool(words) and word_for([row])[:WORD_OF_ROW] in words.split(".")


def nothing_new(request: HttpRequest, word: str) -> HttpResponse | None:
    """The answer that htmx does not swap, or None where there is news to show."""
    return HttpResponse(status=204) if request.GET.get("seen") == word else None
