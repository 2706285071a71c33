"""The inventory: what a sync finds on a platform, and entries that are deleted with their backups (6.8 and 6.9)."""

from __future__ import annotations

from vprotect_simulator import backups, engine, machines
from vprotect_simulator.names import Row, reference, referred_guid
from vprotect_simulator.state import State

SYNC_SECONDS, DELETE_SECONDS = 15, 30
UNREACHABLE = "Cannot connect to hypervisor manager: Connection timed out"
SYNC = {"classic": "INDEX", "current": "INVENTORY_SYNC"}


def request_sync(state: State, target: Row, origin: Row) -> Row:
    """One task for each hypervisor or manager."""
    member = "hypervisorManager" if target["_is_manager"] else "hypervisor"
    members = {member: reference(target), "originEntity": origin}
    return engine.queue(state, SYNC[state.dialect], None, None, state.clock.now_ms(), **members)


def request_deletion(state: State, vm: Row, origin: Row) -> list[Row]:
    """An entry without backups goes at once, which makes no task; else one DELETE."""
    if not any(backup["protectedEntity"]["guid"] == vm["guid"] for backup in state.backups.values()):
        machines.forget(state, vm["guid"])
        return []
    return [engine.queue(state, "DELETE", vm, None, state.clock.now_ms(), originEntity=origin)]


class _Task:
    seconds: float

    def seconds_needed(self, state: State, task: Row) -> float:
        return self.seconds

    def reason_to_fail(self, state: State, task: Row) -> str:
        ordered = engine.behaviour(state, task)
        return (ordered.get("reason") or UNREACHABLE) if ordered.get(task["type"]["name"]) == "fail" else ""

    def start(self, state: State, task: Row, at: int) -> None:
        """Nothing changes before the end."""

    def fail(self, state: State, task: Row, at: int, reason: str) -> None:
        """Nothing changed."""


class Sync(_Task):
    seconds = SYNC_SECONDS

    def finish(self, state: State, task: Row, at: int) -> str:
        """What was imported a while ago need not wait for the next sync any more."""
        target = referred_guid(task.get("hypervisorManager") or task.get("hypervisor"))
        found = 0
        for made in state.promises:
            if made["what"] == "appear" and state.restore_jobs[made["job"]]["_target"] == target:
                made["at"], found = min(made["at"], at), found + 1
        return f"Inventory synchronized, new virtual machines: {found}."


class Delete(_Task):
    seconds = DELETE_SECONDS

    def finish(self, state: State, task: Row, at: int) -> str:
        guid = task["protectedEntity"]["guid"]
        doomed = [backup["guid"] for backup in state.backups.values() if backup["protectedEntity"]["guid"] == guid]
        held = [backup_guid for backup_guid in doomed if backups.is_held(state.backups[backup_guid])]
        for backup_guid in doomed:
            del state.backups[backup_guid]
        machines.forget(state, guid)
        return f"Virtual machine {task['protectedEntity']['name']} deleted, backups: {len(held)}."


engine.STORIES |= {"INDEX": Sync(), "INVENTORY_SYNC": Sync(), "DELETE": Delete()}
