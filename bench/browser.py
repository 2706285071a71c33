"""People's browsers: sessions that are signed in already, and requests over connections that stay open."""

from __future__ import annotations

import gzip
import http.client
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg

QUERIES = "X-Bench-Queries"


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    queries: int

    @property
    def text(self) -> str:
        """Unpacked."""
        is_packed = self.body[:2] == b"\x1f\x8b"
        return (gzip.decompress(self.body) if is_packed else self.body).decode()


class Browser:
    """Of one person; asks one thing after the other."""

    def __init__(self, port: int, session: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.sign_in(session)

    def sign_in(self, session: str) -> None:
        """What follows is asked by another person, over the same connection, as through a proxy."""
        self._cookie = f"portal_web_session={session}"

    def get(self, path: str, *, htmx: bool = False) -> Answer:
        headers = {"Cookie": self._cookie, "Host": "localhost", "Accept-Encoding": "gzip"}
        if htmx:
            headers["HX-Request"] = "true"
        try:
            self._connection.request("GET", path, headers=headers)
            answer = self._connection.getresponse()
        except ConnectionError:
            # Web closes connections that rest; what is only read is asked again.
            self._connection.close()
            self._connection.request("GET", path, headers=headers)
            answer = self._connection.getresponse()
        return Answer(answer.status, answer.read(), int(answer.getheader(QUERIES, "0")))

    def page(self, path: str) -> Answer:
        """Raises unless it is a page."""
        answer = self.get(path)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.body[:300]!r}")
        return answer


def sign_in_everybody(url: str) -> dict[int, str]:
    """A session for each person of the database, by the person's id. This process has to be set up for Django."""
    from django.contrib.sessions.backends.db import SessionStore
    from django.utils import timezone

    from tenants.models import User

    ends = timezone.now() + timedelta(hours=8)
    store = SessionStore()
    with psycopg.connect(url) as pg:
        people = [
            User(id=pk, password=password) for pk, password in pg.execute("SELECT id, password FROM tenants_user")
        ]
        rows = [(f"bench{person.pk:027d}", store.encode(_session(person)), ends) for person in people]
        pg.execute("DELETE FROM django_session")
        with pg.cursor().copy("COPY django_session (session_key, session_data, expire_date) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    return {person.pk: key for person, (key, _data, _ends) in zip(people, rows, strict=True)}


def _session(person: Any) -> dict[str, Any]:
    """As a login by password leaves it."""
    return {
        "_auth_user_id": str(person.pk),
        "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
        "_auth_user_hash": person.get_session_auth_hash(),
        "account_authentication_methods": [{"method": "password", "at": 0.0}],
    }
