"""The calls of vProtect's API that the simulator answers, one short function each (API reference, 4–14)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import vprotect_simulator.plan_runs  # noqa: F401  # tells the engine what a schedule's moment means
from vprotect_simulator import backups, engine, plan_answers, plans, restores
from vprotect_simulator.engine import Refused
from vprotect_simulator.names import VM_DETAILS, Row, enum, enum_name, guid_of, referred_guid, to_wire, without
from vprotect_simulator.state import State

COOKIE = "JSESSIONID"
Query = dict[str, list[str]]


@dataclass(frozen=True)
class Account:
    login: str
    password: str


@dataclass(frozen=True)
class Call:
    """One request below /api: `path` without that prefix, `body` parsed JSON or None."""

    method: str
    path: str
    query: Query = field(default_factory=dict)
    body: Any = None
    cookies: dict[str, str] = field(default_factory=dict)


@dataclass
class Reply:
    """`data` None = no body."""

    status: int
    data: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Api:
    """Answers calls from the state. Not for several threads at once: the server holds a lock around it."""

    def __init__(self, state: State, account: Account, dialect: str = "classic") -> None:
        if dialect not in TENANT_FILTERS:
            raise ValueError(f"the dialect is {dialect!r}, but must be one of {', '.join(TENANT_FILTERS)}")
        self.state = state
        self.account = account
        self.dialect = dialect

    def answer(self, call: Call) -> Reply:
        engine.catch_up(self.state)
        path = call.path.rstrip("/") or "/"
        if (call.method, path) == ("POST", "/session/login"):
            return self._log_in(call)
        if not self._is_logged_in(call):
            return Reply(401, {"message": "Not logged in"})
        try:
            return self._route(call, path)
        except Refused as refused:
            return Reply(refused.status, {"message": refused.message})

    def _route(self, call: Call, path: str) -> Reply:
        known = [(pattern, method, function) for pattern, method, function in ROUTES if re.fullmatch(pattern, path)]
        for pattern, method, function in known:
            if method == call.method:
                match = re.fullmatch(pattern, path)
                return function(self, call, *(match.groups() if match else ()))
        raise Refused(405, "Method not allowed") if known else Refused(404, "Not found")

    # ── Session ──────────────────────────────────────────────────────────────

    def _log_in(self, call: Call) -> Reply:
        given = call.body if isinstance(call.body, dict) else {}
        is_locked = self.state.refused_logins >= self.state.settings.lock_account_after
        if is_locked or (given.get("login"), given.get("password")) != (self.account.login, self.account.password):
            self.state.refused_logins += 1
            return Reply(401, {"message": "Wrong login or password"})
        self.state.refused_logins = 0
        cookie = secrets.token_hex(16)
        self.state.sessions[cookie] = self.state.clock.now_ms()
        return Reply(
            201, _session_info(self.account), {"Set-Cookie": f"{COOKIE}={cookie}; Path=/api; HttpOnly; Secure"}
        )

    def _is_logged_in(self, call: Call) -> bool:
        """A session ends after a time without calls (API reference, 4.3)."""
        cookie, now = call.cookies.get(COOKIE, ""), self.state.clock.now_ms()
        last_used = self.state.sessions.get(cookie)
        if last_used is None or now - last_used > self.state.settings.session_ttl * 1000:
            self.state.sessions.pop(cookie, None)
            return False
        self.state.sessions[cookie] = now
        return True

    def session(self, call: Call) -> Reply:
        return Reply(204)

    # ── Inventory ────────────────────────────────────────────────────────────

    def list_vms(self, call: Call) -> Reply:
        rows = list(self.state.vms.values())
        if values := self._filter_values(call, TENANT_FILTERS[self.dialect]["/virtual-machines"]):
            rows = [row for row in rows if values & set(row["_tenant_values"])]
        if values := self._filter_values(call, ("uuid",)):
            rows = [row for row in rows if row["uuid"] in values]
        return self._list(call, rows, hidden=VM_DETAILS)

    def get_vm(self, call: Call, guid: str) -> Reply:
        return Reply(200, to_wire(_found(self.state.vms, guid)))

    def list_projects(self, call: Call) -> Reply:
        return self._list(call, list(self.state.projects.values()))

    def list_destinations(self, call: Call) -> Reply:
        return self._list(call, list(self.state.destinations.values()))

    def usable_destinations(self, call: Call) -> Reply:
        """A query disguised as POST: a bare array of machines (API reference, 14.2)."""
        if not isinstance(call.body, list):
            raise Refused(400, "An array of virtual machines is expected")
        vms = [_found(self.state.vms, referred_guid(item)) for item in call.body]
        rows = [d for d in self.state.destinations.values() if all(backups.is_usable(d, vm) for vm in vms)]
        return Reply(200, to_wire(rows))

    # ── Tasks ────────────────────────────────────────────────────────────────

    def list_tasks(self, call: Call) -> Reply:
        rows = [self._task(row) for row in self.state.tasks.values()]
        if values := self._filter_values(call, TASK_FILTERS[self.dialect]):
            rows = [row for row in rows if row["protectedEntity"]["guid"] in values]
        if values := self._filter_values(call, ("backup",)):
            rows = [row for row in rows if row["backup"]["guid"] in values]
        if values := self._filter_values(call, ("restore-job",)):
            rows = [row for row in rows if row.get("_job") in values]
        if values := self._filter_values(call, ("schedule",)):
            rows = [row for row in rows if row["originEntity"]["guid"] in values]
        if values := self._filter_values(call, TENANT_FILTERS[self.dialect]["/tasks"]):
            rows = [row for row in rows if values & self._tenant_values(row)]
        for member in ("state", "type"):
            if values := self._filter_values(call, (member,)):
                rows = [row for row in rows if row[member]["name"] in values]
        return self._list(call, rows)

    def get_task(self, call: Call, guid: str) -> Reply:
        return Reply(200, to_wire(self._task(_found(self.state.tasks, guid))))

    def change_task_state(self, call: Call, guid: str) -> Reply:
        task, body = _found(self.state.tasks, guid), _object(call.body)
        if enum_name(body.get("state")) != "CANCELLED":
            raise Refused(400, "A task can only be cancelled")
        engine.cancel(self.state, task, str(body.get("statusInfo") or "Canceled by user"))
        return Reply(200, to_wire(self._task(task)))

    def delete_task(self, call: Call, guid: str) -> Reply:
        engine.remove(self.state, _found(self.state.tasks, guid))
        return Reply(204)

    def export(self, call: Call) -> Reply:
        """One task and one backup for each machine (API reference, 6.3)."""
        wish, vms = self._read_export(_object(call.body))
        tasks = [self._task(backups.request_backup(self.state, vm, wish)) for vm in vms]
        return Reply(201, _shaped(self.state.settings.answer_shape, to_wire(tasks)))

    def _read_export(self, body: Row) -> tuple[Row, list[Row]]:
        entities = body.get("protectedEntities")
        if not isinstance(entities, list) or not entities:
            raise Refused(400, "protectedEntities must not be empty")
        vms = [_found(self.state.vms, referred_guid(entity)) for entity in entities]
        if any(not vm["present"] for vm in vms) and self.state.settings.absent_machine == "refuse":
            raise Refused(400, "Virtual machine is not present")
        backup_type = enum_name(body.get("backupType"))
        if backup_type not in {"FULL", "INCREMENTAL"}:
            raise Refused(400, "backupType must be FULL or INCREMENTAL")
        priority = body.get("priority", 50)
        if not isinstance(priority, int) or not 0 <= priority <= 100:
            raise Refused(400, "priority must be from 0 to 100")
        start, end = _moment(body, "windowStart"), _moment(body, "windowEnd")
        if start is not None and end is not None and end <= start:
            raise Refused(400, "windowEnd must be after windowStart")
        wish = {
            "backup_type": backup_type,
            "destination": self._destination_of(body),
            "priority": priority,
            "window_start": start,
            "window_end": end,
            "retry_count": body.get("retryCount") or 0,
            "tenant_id": body.get("tenantId"),
        }
        return wish, vms

    def _destination_of(self, body: Row) -> Row:
        """Classic names the destination; in the current dialect it is the rule's (API reference, 2)."""
        if self.dialect == "current":
            if not body.get("rules"):
                raise Refused(400, "rules must not be empty")
            return self.state.destinations[guid_of("destination/primary-fs")]
        return _found(self.state.destinations, referred_guid(body.get("backupDestination")))

    def _task(self, row: Row) -> Row:
        return {**row, "progress": engine.progress_of(row, self.state.clock.now_ms())}

    def _tenant_values(self, task: Row) -> set[str]:
        vm = self.state.vms.get(task["protectedEntity"]["guid"])
        return set(vm["_tenant_values"]) if vm else set()

    def restore_and_import(self, call: Call) -> Reply:
        """One object: the RESTORE task; the IMPORT task appears later by itself (API reference, 6.4)."""
        task = self._task(restores.request_restore(self.state, _object(call.body)))
        shape = self.state.settings.answer_shape
        return Reply(201, _shaped("object" if shape == "array" else shape, to_wire([task])))

    def restore_to_node(self, call: Call) -> Reply:
        task = self._task(restores.request_restore_to_node(self.state, _object(call.body)))
        return Reply(201, to_wire(task))

    # ── Restoring: targets and jobs ──────────────────────────────────────────

    def list_managers(self, call: Call) -> Reply:
        """Display text is `url` here and `host` there; neither list has a usable name (20, trap 24)."""
        return self._targets(call, "url", is_manager=True)

    def list_hypervisors(self, call: Call) -> Reply:
        return self._targets(call, "host", is_manager=False)

    def _targets(self, call: Call, text: str, *, is_manager: bool) -> Reply:
        rows = [row for row in self.state.targets.values() if row["_is_manager"] == is_manager]
        for guid in self._filter_values(call, ("backup-to-be-restored",)):
            allowed = restores.allowed_targets(self.state, _found(self.state.backups, guid))
            rows = [row for row in rows if row in allowed]
        return self._list(call, [{**without(row, "name"), text: row["name"]} for row in rows])

    def list_clusters(self, call: Call) -> Reply:
        return self._of_targets(call, self.state.clusters)

    def list_storages(self, call: Call) -> Reply:
        return self._of_targets(call, self.state.storages)

    def _of_targets(self, call: Call, rows: dict[str, Row]) -> Reply:
        values = self._filter_values(call, ("hypervisor-manager", "hypervisor"))
        return self._list(call, [row for row in rows.values() if not values or row["_target"] in values])

    def list_restore_jobs(self, call: Call) -> Reply:
        if not self.state.settings.has_restore_jobs:
            raise Refused(404, "Not found")
        rows = list(self.state.restore_jobs.values())
        if values := self._filter_values(call, ("protected-entity",)):
            rows = [row for row in rows if row["protectedEntity"]["guid"] in values]
        return self._list(call, rows)

    def get_restore_job(self, call: Call, guid: str) -> Reply:
        return Reply(200, to_wire(_found(self.state.restore_jobs, guid)))

    # ── Schedules, policies, rules ───────────────────────────────────────────

    def list_schedules(self, call: Call) -> Reply:
        rows = self._of_tenant(call, "/schedules", list(self.state.schedules.values()))
        if values := self._filter_values(call, ("type",)):
            rows = [row for row in rows if row["type"]["name"] in values]
        for guid in self._filter_values(call, ("protected-entity",)):
            policy = plans.policy_of(self.state, _found(self.state.vms, guid))
            rows = [row for row in rows if policy and row in plans.schedules_of(self.state, policy)]
        return self._list(call, [plan_answers.schedule_answer(self.state, row) for row in rows])

    def list_policies(self, call: Call) -> Reply:
        rows = self._of_tenant(call, "/policies/vm-backup", list(self.state.policies.values()))
        for guid in self._filter_values(call, ("virtual-machine",)):
            rows = [row for row in rows if row is plans.policy_of(self.state, _found(self.state.vms, guid))]
        is_extended = _first(call.query, "extended") == "true"
        return self._list(call, [plan_answers.policy_row(self.state, row, is_extended=is_extended) for row in rows])

    def list_rules(self, call: Call) -> Reply:
        """`policy` is its filter; the vendor's old plugin says `rule` and gets all (20, trap 29)."""
        rows = list(self.state.rules.values())
        if values := self._filter_values(call, ("policy",)):
            rows = [row for row in rows if row["_policy"] in values]
        return self._list(call, [plan_answers.rule_answer(self.state, row) for row in rows])

    def _of_tenant(self, call: Call, path: str, rows: list[Row]) -> list[Row]:
        values = self._filter_values(call, TENANT_FILTERS[self.dialect][path])
        owners = ("tenantId", "projectUuid", "_project_uuid")
        return [row for row in rows if not values or values & {row.get(owner) for owner in owners}]

    def get_schedule(self, call: Call, guid: str) -> Reply:
        return self._schedule(200, _found(self.state.schedules, guid))

    def create_schedule(self, call: Call) -> Reply:
        return self._schedule(201, plans.save_schedule(self.state, _object(call.body), None, _project(call)))

    def replace_schedule(self, call: Call, guid: str) -> Reply:
        old = _found(self.state.schedules, guid)
        return self._replaced(self._schedule(200, plans.save_schedule(self.state, _object(call.body), old)))

    def delete_schedule(self, call: Call, guid: str) -> Reply:
        plans.delete_schedule(self.state, _found(self.state.schedules, guid))
        return Reply(204)

    def _schedule(self, status: int, row: Row) -> Reply:
        return Reply(status, to_wire(plan_answers.schedule_answer(self.state, row)))

    def get_policy(self, call: Call, guid: str) -> Reply:
        return self._policy(200, _found(self.state.policies, guid))

    def create_policy(self, call: Call) -> Reply:
        return self._policy(201, plans.save_policy(self.state, _object(call.body), None, _project(call)))

    def replace_policy(self, call: Call, guid: str) -> Reply:
        old = _found(self.state.policies, guid)
        return self._replaced(self._policy(200, plans.save_policy(self.state, _object(call.body), old)))

    def delete_policy(self, call: Call, guid: str) -> Reply:
        plans.delete_policy(self.state, _found(self.state.policies, guid))
        return Reply(204)

    def _policy(self, status: int, row: Row) -> Reply:
        return Reply(status, to_wire(plan_answers.policy_answer(self.state, row)))

    def get_rule(self, call: Call, guid: str) -> Reply:
        return self._rule(200, _found(self.state.rules, guid))

    def create_rule(self, call: Call) -> Reply:
        return self._rule(201, plans.save_rule(self.state, _object(call.body)))

    def replace_rule(self, call: Call, guid: str) -> Reply:
        old = _found(self.state.rules, guid)
        return self._replaced(self._rule(200, plans.save_rule(self.state, _object(call.body), old)))

    def delete_rule(self, call: Call, guid: str) -> Reply:
        plans.delete_rule(self.state, _found(self.state.rules, guid))
        return Reply(204)

    def _rule(self, status: int, row: Row) -> Reply:
        return Reply(status, to_wire(plan_answers.rule_answer(self.state, row)))

    def _replaced(self, reply: Reply) -> Reply:
        """Whether a PUT answers details or nothing is not known (22, unknown 17): a setting decides."""
        return reply if self.state.settings.put_answer == "details" else Reply(204)

    # ── Backups ──────────────────────────────────────────────────────────────

    def list_backups(self, call: Call) -> Reply:
        rows = list(self.state.backups.values())
        if values := self._filter_values(call, ("protected-entity",)):
            rows = [row for row in rows if row["protectedEntity"]["guid"] in values]
        for member in ("status", "type"):
            if values := self._filter_values(call, (member,)):
                rows = [row for row in rows if row[member]["name"] in values]
        return self._list(call, rows, hidden=("name",))

    def get_backup(self, call: Call, guid: str) -> Reply:
        return Reply(200, to_wire(without(_found(self.state.backups, guid), "name")))

    # ── Lists ────────────────────────────────────────────────────────────────

    def _filter_values(self, call: Call, spellings: tuple[str, ...]) -> set[str]:
        """Only these spellings are known; any other is ignored and everything comes back (20, trap 1)."""
        if self.state.settings.ignore_filters:
            return set()
        return {value for name in spellings for value in call.query.get(name, [])}

    def _list(self, call: Call, rows: list[Row], hidden: tuple[str, ...] = ()) -> Reply:
        """A bare array; with page and size the total is in a header (API reference, 3.7)."""
        rows = [row for row in rows if _matches(row, call.query)]
        if order := _first(call.query, "orderBy"):
            rows.sort(key=lambda row: _sort_key(row, order), reverse=_first(call.query, "direction") == "desc")
        page, size = _first(call.query, "page"), _first(call.query, "size")
        if not (page.isdigit() and size.isdigit()):
            return Reply(200, to_wire([without(row, *hidden) for row in rows]))
        length = self.state.settings.default_page_size or max(int(size), 1)
        total = {} if self.state.settings.omit_total_count else {"X-Total-Count": str(len(rows))}
        shown = rows[int(page) * length : (int(page) + 1) * length]
        return Reply(200, to_wire([without(row, *hidden) for row in shown]), total)


# The tenant filter has five spellings, and each call knows only its own (API reference, 20, trap 1).
TENANT_FILTERS: dict[str, dict[str, tuple[str, ...]]] = {
    "classic": {
        "/virtual-machines": ("tenantid",),
        "/tasks": ("tenantId",),
        "/schedules": ("tenantid", "tenant-id"),
        "/policies/vm-backup": ("tenantid", "tenant-id"),
    },
    "current": dict.fromkeys(("/virtual-machines", "/tasks", "/schedules", "/policies/vm-backup"), ("project-uuid",)),
}
TASK_FILTERS = {"classic": ("protectedEntity",), "current": ("protected-entity",)}

GUID = "([^/]+)"
ROUTES: tuple[tuple[str, str, Callable[..., Reply]], ...] = (
    ("/session", "GET", Api.session),
    ("/virtual-machines", "GET", Api.list_vms),
    (f"/virtual-machines/{GUID}", "GET", Api.get_vm),
    ("/projects", "GET", Api.list_projects),
    ("/backup-destinations", "GET", Api.list_destinations),
    ("/backup-destinations/usable-for-vms", "POST", Api.usable_destinations),
    ("/tasks", "GET", Api.list_tasks),
    ("/tasks/export", "POST", Api.export),
    ("/tasks/restore-and-import", "POST", Api.restore_and_import),
    ("/tasks/restore", "POST", Api.restore_to_node),
    (f"/tasks/{GUID}/state", "PUT", Api.change_task_state),
    (f"/tasks/{GUID}", "GET", Api.get_task),
    (f"/tasks/{GUID}", "DELETE", Api.delete_task),
    ("/backups", "GET", Api.list_backups),
    (f"/backups/{GUID}", "GET", Api.get_backup),
    ("/schedules", "GET", Api.list_schedules),
    ("/schedules", "POST", Api.create_schedule),
    (f"/schedules/{GUID}", "GET", Api.get_schedule),
    (f"/schedules/{GUID}", "PUT", Api.replace_schedule),
    (f"/schedules/{GUID}", "DELETE", Api.delete_schedule),
    ("/policies/vm-backup", "GET", Api.list_policies),
    ("/policies/vm-backup", "POST", Api.create_policy),
    (f"/policies/vm-backup/{GUID}", "GET", Api.get_policy),
    (f"/policies/vm-backup/{GUID}", "PUT", Api.replace_policy),
    (f"/policies/vm-backup/{GUID}", "DELETE", Api.delete_policy),
    ("/rules/vm-backup", "GET", Api.list_rules),
    ("/rules/vm-backup", "POST", Api.create_rule),
    (f"/rules/vm-backup/{GUID}", "GET", Api.get_rule),
    (f"/rules/vm-backup/{GUID}", "PUT", Api.replace_rule),
    (f"/rules/vm-backup/{GUID}", "DELETE", Api.delete_rule),
    ("/hypervisor-managers", "GET", Api.list_managers),
    ("/hypervisors", "GET", Api.list_hypervisors),
    ("/hypervisor-clusters", "GET", Api.list_clusters),
    ("/hypervisor-storages", "GET", Api.list_storages),
    ("/restore-jobs", "GET", Api.list_restore_jobs),
    (f"/restore-jobs/{GUID}", "GET", Api.get_restore_job),
)


def _session_info(account: Account) -> Row:
    return {
        "requester": {"guid": guid_of("user/portal-svc"), "name": account.login},
        "language": enum("EN"),
        "uiTimeZone": "UTC",
        "privileges": [enum("VE_BACKUP_SLA_READ"), enum("VE_BACKUP_SLA_WRITE")],
        "infoTourEnabled": False,
    }


def _shaped(shape: str, tasks: list[Row]) -> Any:
    """The four shapes of an answer (API reference, 6.3)."""
    named = [{"guid": task["guid"], "name": task["protectedEntity"]["name"]} for task in tasks]
    batch = {"successful": named, "unsuccessful": [], "tasks": tasks}
    return {"array": tasks, "object": tasks[0], "batch": batch, "empty": None}[shape]


def _found(rows: dict[str, Row], guid: str) -> Row:
    if guid not in rows:
        raise Refused(404, "Object with given GUID does not exist")
    return rows[guid]


def _object(body: Any) -> Row:
    if not isinstance(body, dict):
        raise Refused(400, "An object is expected")
    return body


def _project(call: Call) -> str:
    """On current servers the query names the owner of what is made (API reference, 11.1)."""
    return _first(call.query, "project-uuid")


def _moment(body: Row, name: str) -> int | None:
    value = body.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise Refused(400, f"{name} must be a number of milliseconds")
    return value


def _first(query: Query, name: str) -> str:
    return query.get(name, [""])[0]


def _matches(row: Row, query: Query) -> bool:
    words = [word.casefold() for name in ("filter", "nameLike") for word in query.get(name, [])]
    texts = f"{row.get('name', '')} {row.get('uuid', '')} {row['guid']}".casefold()
    return all(word in texts for word in words)


def _sort_key(row: Row, member: str) -> tuple[bool, str, float]:
    value = row.get(member)
    value = value.get("name") if isinstance(value, dict) else value
    if isinstance(value, int | float):
        return value is None, "", float(value)
    return value is None, str(value or ""), 0.0
