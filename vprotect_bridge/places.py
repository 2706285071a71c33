"""A place in the queue, as people are told it: in vProtect's, and among a tenant's own that wait to be sent.

It tells nothing of others but a number, and a coarse one far back: that keeps a long queue from being news to everybody
at each step.
"""

from __future__ import annotations

from django.db import connection

EXACT_UP_TO = 10
# Usually, in seconds.
SENT_WITHIN = 10

# In the order in which `submit` takes them. What is sent at once needs no place; who has one keeps it also while none
# runs, as between the end of one and the start of the next.
_PLACES = """
    WITH waiting AS (
        SELECT o.id, row_number() OVER (PARTITION BY o.tenant_id ORDER BY o.is_bulk, o.created_at, o.id) AS place
        FROM vprotect_bridge_operation o JOIN tenants_tenant t ON t.id = o.tenant_id
        WHERE o.submission = 'pending' AND o.cancel_wanted_at IS NULL
            AND (o.place_in_line IS NOT NULL OR o.created_at <= now() - make_interval(secs => %(soon)s)
                 OR t.running_cap <= (SELECT count(*) FROM vprotect_bridge_operation r WHERE r.tenant_id = t.id
                                      AND r.origin = 'portal' AND r.outcome = '' AND r.submission <> 'pending'))
    ), told AS (
        SELECT p.id, CASE WHEN w.place <= %(exact)s THEN w.place WHEN w.place <= 100 THEN ceil(w.place / 10.0) * 10
                     ELSE ceil(w.place / 100.0) * 100 END AS place
        FROM vprotect_bridge_operation p LEFT JOIN waiting w ON w.id = p.id WHERE p.submission = 'pending'
    )
    UPDATE vprotect_bridge_operation o SET place_in_line = told.place FROM told
    WHERE o.id = told.id AND o.submission = 'pending' AND o.place_in_line IS DISTINCT FROM told.place
"""


def told(place: int | None) -> int | None:
    """1 to 10, then 20, 30 … 100, 200 …"""
    if place is None or place <= EXACT_UP_TO:
        return place
    step = 10 if place <= 100 else 100
    return -(-place // step) * step


def place_waiting_wishes() -> int:
    """Gives those that wait their place, and takes it from those that do no longer."""
    with connection.cursor() as cursor:
        cursor.execute(_PLACES, {"exact": EXACT_UP_TO, "soon": SENT_WITHIN})
        return cursor.rowcount
