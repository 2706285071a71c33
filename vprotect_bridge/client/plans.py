"""Schedules, VM backup policies and rules (API reference, 10–12; guide, "VM backup policy and schedule management")."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from vprotect_bridge.client import read
from vprotect_bridge.client.errors import NotFound
from vprotect_bridge.client.read import GUID
from vprotect_bridge.client.transport import Transport
from vprotect_bridge.client.types import Listing, Reference

DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True)
class Schedule:
    """API reference, 10.2. Times are milliseconds from UTC midnight and days are UTC's (20, traps 3 and 4).

    Old rows may hold times below 0 or beyond a day; they are read modulo a day (10.2). Empty `months` and
    `occurrences` mean all (20, trap 28). `raw` is the row as it came, to be sent back whole.
    """

    guid: str
    name: str
    type: str
    active: bool
    backup_type: str
    execution_type: str
    hour_ms: int | None
    start_ms: int | None
    end_ms: int | None
    frequency_ms: int | None
    window_ms: int | None
    days: tuple[str, ...]
    months: tuple[str, ...]
    occurrences: tuple[str, ...]
    rule_guids: tuple[str, ...]
    tenant_id: str
    raw: dict[str, Any]

    @classmethod
    def from_json(cls, row: Any) -> Self:
        row = read.row(row)
        interval = row.get("interval") if isinstance(row.get("interval"), dict) else {}
        return cls(
            guid=read.guid(row),
            name=read.text(row.get("name")),
            type=read.enum(row.get("type")),
            active=row.get("active") is True,
            backup_type=read.enum(row.get("backupType")),
            execution_type=read.enum(row.get("executionType")),
            hour_ms=_time_of_day(row.get("hour")),
            start_ms=_time_of_day(interval.get("startHour")),
            end_ms=_time_of_day(interval.get("endHour")),
            frequency_ms=read.whole(interval.get("frequency")),
            window_ms=read.whole(row.get("startWindowLength")),
            days=read.enums(row.get("daysOfWeek")),
            months=read.enums(row.get("months")),
            occurrences=read.enums(row.get("dayOfWeekOccurrences")),
            rule_guids=read.guids(row.get("rules")),
            tenant_id=read.text(row.get("tenantId")),
            raw=row,
        )


@dataclass(frozen=True)
class Policy:
    """API reference, 11.3. `vm_guids` None = a row of a list, which does not tell its machines (20, trap 17).

    `active` None = classic servers, whose policies cannot be switched off.
    """

    guid: str
    name: str
    priority: int | None
    active: bool | None
    auto_assign_mode: str
    auto_remove_non_present: bool | None
    vm_guids: tuple[str, ...] | None
    tenant_id: str
    raw: dict[str, Any]

    @classmethod
    def from_json(cls, row: Any) -> Self:
        row = read.row(row)
        settings = row.get("autoAssignSettings") if isinstance(row.get("autoAssignSettings"), dict) else {}
        is_details = isinstance(row.get("vms"), list)
        return cls(
            guid=read.guid(row),
            name=read.text(row.get("name")),
            priority=read.whole(row.get("priority")),
            active=read.flag(row.get("active")),
            auto_assign_mode=read.enum(settings.get("mode")) or read.enum(row.get("autoAssignMode")),
            auto_remove_non_present=read.flag(row.get("autoRemoveNonPresent")),
            vm_guids=read.guids(row.get("vms")) if is_details else None,
            tenant_id=read.text(row.get("tenantId")),
            raw=row,
        )


@dataclass(frozen=True)
class Retention:
    """How long backups are kept (API reference, 12.2): the last so many, and those newer than so many milliseconds."""

    full_count: int | None
    full_ms: int | None
    incremental_count: int | None
    incremental_ms: int | None
    keeps_last: bool

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        return cls(
            full_count=read.whole(row.get("retentionKeepLastNFull")),
            full_ms=read.whole(row.get("retentionKeepFullNewerThan")),
            incremental_count=read.whole(row.get("retentionKeepLastNIncremental")),
            incremental_ms=read.whole(row.get("retentionKeepIncrementalNewerThan")),
            keeps_last=row.get("keepLastBackupWhenSourceStillExists") is True,
        )


@dataclass(frozen=True)
class RuleDestination:
    """Where a rule of current servers stores, and for how long (API reference, 12.2). The lock is in days."""

    guid: str
    role: str
    is_active: bool
    lock_days: int
    retention: Retention | None

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self | None:
        destination = Reference.read(row.get("backupDestination"))
        settings = row.get("backupRetentionSettings")
        if destination is None:
            return None
        return cls(
            guid=destination.guid,
            role=read.enum(row.get("roleType")),
            is_active=row.get("active") is True,
            lock_days=read.whole(row.get("daysToKeepRetentionLock")) or 0,
            retention=Retention.from_json(settings) if isinstance(settings, dict) else None,
        )


@dataclass(frozen=True)
class Rule:
    """API reference, 12.2 and 12.3. Without a destination it never backs anything up (20, trap 19).

    `destination_guids`: those that are on, the primary one first. `destinations` and `position` only current servers
    tell. One that is marked for deletion is as good as gone (12.2).
    """

    guid: str
    name: str
    active: bool
    position: int | None
    policy_guid: str
    schedule_guids: tuple[str, ...]
    destination_guids: tuple[str, ...]
    destinations: tuple[RuleDestination, ...]
    is_marked_for_deletion: bool
    raw: dict[str, Any]

    @classmethod
    def from_json(cls, row: Any) -> Self:
        row = read.row(row)
        policy = Reference.read(row.get("policy"))
        destinations = _destinations(row)
        is_classic = destinations is None
        on = [item.guid for item in destinations or () if item.is_active]
        return cls(
            guid=read.guid(row),
            name=read.text(row.get("name")),
            active=row.get("active") is not False,
            position=None if is_classic else read.whole(row.get("position")) or 0,
            policy_guid=policy.guid if policy else "",
            schedule_guids=read.guids(row.get("schedules")),
            destination_guids=read.guids(row.get("backupDestinations")) if is_classic else tuple(on),
            destinations=destinations or (),
            is_marked_for_deletion=row.get("markedForDeletion") is True,
            raw=row,
        )


def _time_of_day(value: Any) -> int | None:
    milliseconds = read.whole(value)
    return None if milliseconds is None else milliseconds % DAY_MS


ROLES = ("PRIMARY", "SECONDARY", "ARCHIVE")


def by_role(role: str) -> int:
    """Sorts the primary one first, what has no known role last."""
    return ROLES.index(role) if role in ROLES else len(ROLES)


def _destinations(row: dict[str, Any]) -> tuple[RuleDestination, ...] | None:
    """Current rules wrap each with its role and retention; None = a classic one, which only names them."""
    if not isinstance(row.get("ruleBackupDestinations"), list):
        return None
    wrapped = [item for item in row["ruleBackupDestinations"] if isinstance(item, dict)]
    found = [item for row in wrapped if (item := RuleDestination.from_json(row))]
    return tuple(sorted(found, key=lambda item: by_role(item.role)))


# ── The calls ────────────────────────────────────────────────────────────────


def checked(guid: str) -> str:
    """A GUID that can stand in a path. Raises `ValueError` for anything else."""
    if not GUID.fullmatch(guid):
        raise ValueError("not a GUID")
    return guid


Row = TypeVar("Row", Schedule, Policy, Rule)


class _Caller(Protocol):
    """What of `VProtect` the calls need."""

    transport: Transport

    def tenant_filter(self, path: str, tenantid: str | None) -> dict[str, str]: ...

    def pages(self, path: str, filters: dict[str, str], parse: Callable[[Any], Any]) -> Listing[Any]: ...

    def one(self, path: str, guid: str, parse: Callable[[Any], Any], params: dict[str, str] | None = None) -> Any: ...


class Resource(Generic[Row]):
    """The five calls that schedules, policies and rules have alike. All raise `UpstreamError`s only."""

    def __init__(
        self, caller: _Caller, path: str, parse: Callable[[Any], Row], details: dict[str, str] | None = None
    ) -> None:
        """`details`: what the query of its details has to say for them to be whole."""
        self._caller = caller
        self._path = path
        self._parse: Callable[[Any], Row] = parse
        self._details = details

    def list(self, *, tenantid: str | None = None, **filters: str) -> Listing[Row]:
        """`tenantid` is sent as the dialect spells it and proves nothing: a misspelt filter is ignored (20, trap 1)."""
        of_tenant = self._caller.tenant_filter(self._path, tenantid)
        return self._caller.pages(self._path, {**of_tenant, **filters}, self._parse)

    def get(self, guid: str) -> Row:
        return self._caller.one(self._path, guid, self._parse, self._details)

    def create(self, body: dict[str, Any]) -> None:
        """Nothing is read from the answer: what was made is found again by its name, also when the answer is lost."""
        self._caller.transport.post(self._path, body)

    def replace(self, guid: str, body: dict[str, Any]) -> None:
        """A full replace: what `body` does not say is lost (20, trap 16)."""
        self._caller.transport.put(f"{self._path}/{checked(guid)}", body)

    def delete(self, guid: str) -> None:
        """One that is gone already is deleted."""
        try:
            self._caller.transport.delete(f"{self._path}/{checked(guid)}")
        except NotFound:
            return
