"""Trouble on order: which call gets which fault, once, several times or always."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

KINDS = {
    "status": "answers with `status` and, if given, `body`",
    "slow": "answers after `seconds`",
    "hang": "says nothing for `seconds`, then closes",
    "reset": "resets the connection",
    "drip": "answers a byte every `seconds`",
    "truncated": "closes in the middle of the answer",
    "garbage": "answers 200 with broken JSON",
    "html": "answers 200 with a page",
    "empty": "answers 200 without a body",
    "wrong_guid": "answers with something that is no GUID",
    "other_vm": "answers with another machine's name in it",
    "late": "resets at once and processes the request after `seconds`",
}


@dataclass
class Fault:
    """`path` is a regular expression for the path below /api, `when` before or after the request is processed.

    `skip`: so many matching calls pass first; `times`: so many are hit then, 0 = all.
    """

    kind: str
    method: str = ""
    path: str = ".*"
    when: str = "before"
    status: int = 500
    body: Any = None
    headers: dict[str, str] | None = None
    seconds: float = 1.0
    skip: int = 0
    times: int = 1

    @classmethod
    def read(cls, wish: dict[str, Any]) -> Fault:
        """Raises `ValueError` for what is no fault."""
        known = {f.name for f in fields(cls)}
        if unknown := set(wish) - known:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        if wish.get("kind") not in KINDS:
            raise ValueError(f"the kind must be one of {', '.join(KINDS)}")
        fault = cls(**wish)
        if fault.when not in {"before", "after"}:
            raise ValueError("when must be before or after")
        try:
            re.compile(fault.path)
        except re.error as error:
            raise ValueError(f"the path is no regular expression: {error}") from error
        return fault


class FaultPlan:
    """Not for several threads at once: the server holds a lock around it."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self) -> None:
        self._faults.clear()

    def hit(self, method: str, path: str) -> Fault | None:
        """The first fault that is for this call and whose turn it is; each call counts once for it."""
        for fault in self._faults:
            if fault.method in {"", method} and re.fullmatch(fault.path, path):
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                if fault.times == 1:
                    self._faults.remove(fault)
                elif fault.times > 1:
                    fault.times -= 1
                return fault
        return None
