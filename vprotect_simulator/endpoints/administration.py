"""Mailing lists, credentials and global settings: an administrator's (API reference, 18)."""

from __future__ import annotations

from vprotect_simulator import plans, reading
from vprotect_simulator.calls import Call, Reply, Route, listed
from vprotect_simulator.endpoints.policies import replaced
from vprotect_simulator.engine import Refused
from vprotect_simulator.names import Row, to_wire, without
from vprotect_simulator.reading import found
from vprotect_simulator.state import State


def list_mailing_lists(state: State, call: Call) -> Reply:
    """Rows count the recipients, details name them."""
    rows = [{**without(row, "recipients"), "recipientCount": len(row["recipients"])} for row in _lists(state)]
    return listed(state, call, rows)


def _lists(state: State) -> list[Row]:
    return list(state.mailing_lists.values())


def get_mailing_list(state: State, call: Call, guid: str) -> Reply:
    return Reply(200, to_wire(found(state.mailing_lists, guid)))


def create_mailing_list(state: State, call: Call) -> Reply:
    return Reply(201, to_wire(_save_mailing_list(state, call.object(), None)))


def replace_mailing_list(state: State, call: Call, guid: str) -> Reply:
    old = found(state.mailing_lists, guid)
    return replaced(state, Reply(200, to_wire(_save_mailing_list(state, call.object(), old))))


def delete_mailing_list(state: State, call: Call, guid: str) -> Reply:
    """Policies that reported to it report to nobody."""
    del state.mailing_lists[found(state.mailing_lists, guid)["guid"]]
    for policy in state.policies.values():
        if (policy.get("mailingList") or {}).get("guid") == guid:
            policy["mailingList"] = None
    return Reply(204)


def _save_mailing_list(state: State, body: Row, old: Row | None) -> Row:
    row = {**plans.identity(old), "name": reading.name(body), "recipients": reading.items(body, "recipients")}
    if not all(isinstance(item, str) and "@" in item for item in row["recipients"]):
        raise Refused(400, "recipients must be e-mail addresses")
    plans.check_name(state, state.mailing_lists, row, "Mailing list")
    state.mailing_lists[row["guid"]] = row
    return row


# ── Credentials ──────────────────────────────────────────────────────────────


def list_credentials(state: State, call: Call) -> Reply:
    return listed(state, call, state.credentials.values())


def get_credential(state: State, call: Call, guid: str) -> Reply:
    return Reply(200, to_wire(found(state.credentials, guid)))


def create_credential(state: State, call: Call) -> Reply:
    return Reply(201, to_wire(_save_credential(state, call.object(), None)))


def replace_credential(state: State, call: Call, guid: str) -> Reply:
    old = found(state.credentials, guid)
    return replaced(state, Reply(200, to_wire(_save_credential(state, call.object(), old))))


def delete_credential(state: State, call: Call, guid: str) -> Reply:
    del state.credentials[found(state.credentials, guid)["guid"]]
    return Reply(204)


def _save_credential(state: State, body: Row, old: Row | None) -> Row:
    """As the vendor's page sends it; password, key and secret key are kept nowhere and never answered."""
    texts = {named: reading.text(body, named) for named in ("user", "sshKeyPath")}
    row = {**plans.identity(old), "name": reading.name(body), **texts}
    state.credentials[row["guid"]] = row
    return row


# ── Global settings ──────────────────────────────────────────────────────────


def get_global_settings(state: State, call: Call) -> Reply:
    """How they are called is not known; these two are told of in words: minutes, and milliseconds."""
    settings = state.settings
    return Reply(
        200,
        {
            "sessionTimeout": int(settings.session_ttl // 60),
            "taskRetention": int(settings.task_retention * 1000),
        },
    )


ROUTES = (
    Route("GET", "/mailing-lists", list_mailing_lists),
    Route("GET", "/mailing-lists/{guid}", get_mailing_list),
    Route("POST", "/mailing-lists", create_mailing_list),
    Route("PUT", "/mailing-lists/{guid}", replace_mailing_list),
    Route("DELETE", "/mailing-lists/{guid}", delete_mailing_list),
    Route("GET", "/credential", list_credentials),
    Route("GET", "/credential/{guid}", get_credential),
    Route("POST", "/credential", create_credential),
    Route("PUT", "/credential/{guid}", replace_credential),
    Route("DELETE", "/credential/{guid}", delete_credential),
    Route("GET", "/global-settings", get_global_settings),
)
