#!/usr/bin/env python3
"""Backs up one machine and waits until that is done: before a pipeline changes something.

    PORTAL_URL=https://portal.example PORTAL_TOKEN_FILE=/run/secrets/portal_token \
        python3 back_up_and_wait.py web-01

Needs Python 3.9 and nothing else. The token comes from PORTAL_TOKEN, or from the file that PORTAL_TOKEN_FILE names, and
is never printed. A request whose answer got lost is sent again with the same Idempotency-Key: it starts nothing twice.

Exit codes:
    0  the backup is done
    1  it ended badly, was cancelled, or could not be followed any longer, as when the token was revoked
    2  wrong usage, or refused: nothing was started
    3  not done in time; it may still go on, and its address was printed
    4  the portal could not be reached or answered with an error of its own
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

DONE, FAILED, REFUSED, TOO_LATE, AWAY = range(5)
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class Ended(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """The token is for one address."""

    def redirect_request(self, *args: object) -> None:
        return None


class Portal:
    def __init__(self, url: str, token: str, deadline: float) -> None:
        self.url, self._token, self.deadline = url.rstrip("/"), token, deadline
        self._opener = urllib.request.build_opener(NoRedirects)

    def ask(self, method: str, path: str, body: dict | None = None, key: str = "") -> tuple[int, dict]:
        """Status and JSON; what may pass by itself is asked again until the time is over."""
        pause = 1.0
        while True:
            status, answer, wait = self._once(method, path, body, key)
            is_in_flight = status == 409 and answer.get("type", "").endswith("#in-flight")
            if status and status not in TRY_AGAIN and not is_in_flight:
                return status, answer
            pause = max(wait, pause)
            if time.monotonic() + pause > self.deadline:
                raise Ended(AWAY, f"{self.url} does not answer: {answer.get('detail', 'not reached')}")
            time.sleep(pause)
            pause = min(pause * 2, 30)

    def _once(self, method: str, path: str, body: dict | None, key: str) -> tuple[int, dict, float]:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        if body is not None:
            headers |= {"Content-Type": "application/json", "Idempotency-Key": key}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", data, headers, method=method)  # noqa: S310
        try:
            with self._opener.open(request, timeout=30) as answer:
                return answer.status, json.load(answer), 0
        except urllib.error.HTTPError as error:
            wait = error.headers.get("Retry-After", "")
            try:
                return error.code, json.load(error), float(wait) if wait.isdigit() else 0
            except ValueError:
                return error.code, {"detail": f"status {error.code}"}, 0
        except (OSError, ValueError) as error:
            return 0, {"detail": str(getattr(error, "reason", error))}, 0

    def machine_id(self, name: str) -> str:
        """By its name, which must be one machine's, or by its id."""
        status, answer = self.ask("GET", "machines?" + urllib.parse.urlencode({"q": name, "limit": 100}))
        if status != 200:
            raise Ended(REFUSED, told(answer))
        found = [item["id"] for item in answer["items"] if item["name"] == name]
        if not found and self.ask("GET", f"machines/{urllib.parse.quote(name, safe='')}")[0] == 200:
            return name
        if len(found) != 1:
            raise Ended(REFUSED, f"{len(found)} machines are called {name}; give the id of one.")
        return str(found[0])

    def back_up(self, machine: str, wish: dict) -> dict:
        """Where the machine is being backed up already, that one is waited for and then asked again."""
        key = str(uuid.uuid4())
        while True:
            status, answer = self.ask("POST", f"machines/{machine}/backups", wish, key)
            if status == 202:
                return answer
            if not answer.get("type", "").endswith("#already-running"):
                raise Ended(REFUSED, told(answer))
            say("It is being backed up already; waiting for that one first.")
            self.wait_for(answer["operation"])

    def wait_for(self, operation: str) -> dict:
        said = ""
        while True:
            status, answer = self.ask("GET", f"operations/{operation}")
            if status != 200:
                raise Ended(FAILED, f"{told(answer)} It cannot be followed any longer, and may still go on.")
            if answer["is_finished"]:
                return answer
            line = f"{answer['message']} {answer['progress']} %"
            if line != said:
                said = line
                say(line)
            if time.monotonic() + 3 > self.deadline:
                raise Ended(TOO_LATE, f"Not done in time, and it may still go on: {answer['page']}")
            time.sleep(3)


def told(problem: dict) -> str:
    fields = "; ".join(f"{error['field']}: {error['detail']}" for error in problem.get("errors", []))
    return fields or problem.get("detail", "refused")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def token() -> str:
    file = os.environ.get("PORTAL_TOKEN_FILE")
    try:
        found = Path(file).read_text() if file else os.environ.get("PORTAL_TOKEN", "")
    except OSError as error:
        raise Ended(REFUSED, f"{file} cannot be read: {error.strerror}") from None
    if not found.strip():
        raise Ended(REFUSED, "Set PORTAL_TOKEN or PORTAL_TOKEN_FILE.")
    return found.strip()


def run(arguments: list[str]) -> dict:
    parser = argparse.ArgumentParser(description="Backs up one machine and waits until that is done.")
    parser.add_argument("machine", help="its name or its id")
    parser.add_argument("--type", choices=["full", "incremental"], default="full")
    parser.add_argument("--timeout", type=float, default=3600, metavar="SECONDS", help="3600 if left out")
    chosen = parser.parse_args(arguments)
    url = os.environ.get("PORTAL_URL", "")
    address = urllib.parse.urlsplit(url)
    if address.scheme != "https" and address.hostname not in {"127.0.0.1", "localhost"}:
        raise Ended(REFUSED, "Set PORTAL_URL to an https address.")
    portal = Portal(url, token(), time.monotonic() + chosen.timeout)
    operation = portal.back_up(portal.machine_id(chosen.machine), {"type": chosen.type})
    say(f"Follow it: {operation['page']}")
    return portal.wait_for(operation["id"])


def main() -> int:
    try:
        ended = run(sys.argv[1:])
    except Ended as end:
        say(str(end))
        return end.code
    say(ended["reason"] or ended["message"])
    if ended["state"] not in {"succeeded", "partial"}:
        return FAILED
    print(ended["restore_point"])
    return DONE


if __name__ == "__main__":
    sys.exit(main())
