"""The control calls over HTTP (docs/simulator.md): thin clothes for `Control`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from vprotect_simulator.calls import Call, Reply
from vprotect_simulator.control import Control


def answer_control(control: Control, call: Call) -> Reply:
    """400 names what is wrong with a call; nothing is changed then."""
    for pattern, method, function in ROUTES:
        match = re.fullmatch(pattern, call.path)
        if match and method == call.method:
            try:
                data = function(control, call, *match.groups())
            except (ValueError, TypeError) as error:
                return Reply(400, {"message": str(error)})
            return Reply(200 if data is not None else 204, data)
    return Reply(404, {"message": f"there is no control call {call.method} {call.path}"})


def _body(call: Call) -> dict[str, Any]:
    if call.body is None:
        return {}
    if not isinstance(call.body, dict):
        raise ValueError("an object is expected")
    return call.body


def _reset(control: Control, call: Call) -> None:
    body = _body(call)
    control.reset(body.pop("landscape", ""), **body)


def _ledger(control: Control, call: Call) -> Any:
    method, path = (call.query.get(name, [""])[0] for name in ("method", "path"))
    return control.ledger(method, path)


def _clock(control: Control, call: Call) -> None:
    body = _body(call)
    if "until" in body:
        control.run_until(**body)
    else:
        control.advance(**body)


def _firings(control: Control, call: Call, schedule: str) -> list[int]:
    start, end = (int(call.query.get(name, [""])[0]) for name in ("start", "end"))
    return control.firings(schedule, start, end)


ROUTES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("/reset", "POST", _reset),
    ("/machines", "POST", lambda control, call: control.add_machines(**_body(call))),
    ("/machines/([^/]+)", "PATCH", lambda control, call, guid: control.change_machine(guid, _body(call))),
    ("/machines/([^/]+)", "DELETE", lambda control, call, guid: control.remove_machine(guid)),
    ("/tasks", "GET", lambda control, call: control.tasks()),
    ("/tasks/([^/]+)", "DELETE", lambda control, call, guid: control.remove_task(guid)),
    ("/backups/([^/]+)", "DELETE", lambda control, call, guid: control.remove_backup(guid)),
    ("/mounts/([^/]+)", "DELETE", lambda control, call, guid: control.close_mount(guid)),
    ("/sessions", "DELETE", lambda control, call: control.expire_sessions()),
    ("/faults", "POST", lambda control, call: control.fault(**_body(call))),
    ("/faults", "DELETE", lambda control, call: control.clear_faults()),
    ("/clock", "POST", _clock),
    ("/schedules/([^/]+)/firings", "GET", _firings),
    ("/settings", "GET", lambda control, call: asdict(control.state.settings)),
    ("/settings", "PATCH", lambda control, call: asdict(control.change_settings(**_body(call)))),
    ("/ledger", "GET", _ledger),
    ("/letters", "GET", lambda control, call: control.letters()),
    ("/ledger/tasks", "GET", lambda control, call: control.made_tasks()),
)
