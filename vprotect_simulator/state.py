"""Everything that the simulated vProtect remembers, as JSON-able rows in the shape of its answers."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from vprotect_simulator.names import Row


@dataclass
class Settings:
    """What a control call may change. Times are real seconds unless they are about the work's own life.

    `speed`: how much faster than life work runs. `answer_shape` of POST /tasks/export: array, object, batch, empty.
    `marker_truncation` of windows: none, s, min, absent. `absent_machine`: fail or refuse a backup of a machine that
    is gone (unknown 16). `incremental_without_schedule`: full or refuse (API reference, 21, duty 18).
    `name_clash_status`: of a name that is taken (unknown 5). `put_answer`: details or nothing (unknown 17).
    `tenant_not_sent`: what a PUT without tenantId does to it, clear or keep (unknown 6). `schedule_in_use`: refuse
    or unassign one that is deleted (unknown 14). `hour_reading`: times of day within the day, negative or over it.
    `prefixes_names`: what is made for a project is called `uuid_<project>_…` (20, trap 14).
    `unmount_time` of current servers: absent, absolute (5.0, 5.1) or duration; `unmount_period` where none is given.
    `unmounted_mounts`: keep or remove. `download_ranges`: a transfer can be taken up in its middle.
    """

    speed: float = 1.0
    max_running: int = 4
    answer_shape: str = "array"
    marker_truncation: str = "none"
    ignore_filters: bool = False
    default_page_size: int = 0
    omit_total_count: bool = False
    session_ttl: float = 1800
    lock_account_after: int = 10
    task_retention: float = 24 * 3600
    incremental_without_schedule: str = "full"
    absent_machine: str = "fail"
    name_clash_status: int = 409
    put_answer: str = "details"
    tenant_not_sent: str = "clear"
    schedule_in_use: str = "refuse"
    hour_reading: str = "day"
    prefixes_names: bool = False
    has_restore_jobs: bool = True
    unmount_time: str = "duration"
    unmount_period: float = 24 * 3600
    unmounted_mounts: str = "keep"
    download_ranges: bool = False
    queue_seconds: float = 20
    gap_seconds: float = 15

    CHOICES = {
        "answer_shape": ("array", "object", "batch", "empty"),
        "marker_truncation": ("none", "s", "min", "absent"),
        "incremental_without_schedule": ("full", "refuse"),
        "absent_machine": ("fail", "refuse"),
        "put_answer": ("details", "nothing"),
        "tenant_not_sent": ("clear", "keep"),
        "schedule_in_use": ("refuse", "unassign"),
        "hour_reading": ("day", "negative", "over"),
        "unmount_time": ("absent", "absolute", "duration"),
        "unmounted_mounts": ("keep", "remove"),
    }

    def change(self, changes: Row) -> None:
        """Raises `ValueError` for an unknown name or an impossible value; then nothing is changed."""
        known = {f.name: f.type for f in fields(self)}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"there is no setting {name!r}")
            if name in self.CHOICES and value not in self.CHOICES[name]:
                raise ValueError(f"{name} must be one of {', '.join(self.CHOICES[name])}")
            if name not in self.CHOICES and not isinstance(value, int | float):
                raise ValueError(f"{name} must be a number or a flag")
        if changes.get("speed", 1) <= 0 or changes.get("max_running", 0) < 0:
            raise ValueError("speed must be above 0, max_running not below 0")
        for name, value in changes.items():
            setattr(self, name, value)


@dataclass
class Clock:
    """Real time plus an offset that tests move. Epoch milliseconds, UTC."""

    offset_ms: int = 0

    def now_ms(self) -> int:
        return int(time.time() * 1000) + self.offset_ms


@dataclass
class State:
    """Rows by GUID. `targets` are hypervisors and their managers, `letters` the reports that were sent by e-mail.

    `dialect`: classic or current; `login`: who may log in. Both are set at the start.
    `promises`: what the engine will do later, each with its moment `at`.
    """

    settings: Settings = field(default_factory=Settings)
    dialect: str = "classic"
    login: str = "portal-svc"
    clock: Clock = field(default_factory=Clock)
    vms: dict[str, Row] = field(default_factory=dict)
    projects: dict[str, Row] = field(default_factory=dict)
    destinations: dict[str, Row] = field(default_factory=dict)
    schedules: dict[str, Row] = field(default_factory=dict)
    policies: dict[str, Row] = field(default_factory=dict)
    rules: dict[str, Row] = field(default_factory=dict)
    nodes: dict[str, Row] = field(default_factory=dict)
    targets: dict[str, Row] = field(default_factory=dict)
    clusters: dict[str, Row] = field(default_factory=dict)
    storages: dict[str, Row] = field(default_factory=dict)
    networks: dict[str, Row] = field(default_factory=dict)
    flavors: dict[str, Row] = field(default_factory=dict)
    disks: dict[str, Row] = field(default_factory=dict)
    snapshots: dict[str, Row] = field(default_factory=dict)
    snapshot_policies: dict[str, Row] = field(default_factory=dict)
    snapshot_rules: dict[str, Row] = field(default_factory=dict)
    mailing_lists: dict[str, Row] = field(default_factory=dict)
    credentials: dict[str, Row] = field(default_factory=dict)
    letters: list[Row] = field(default_factory=list)
    tasks: dict[str, Row] = field(default_factory=dict)
    backups: dict[str, Row] = field(default_factory=dict)
    restore_jobs: dict[str, Row] = field(default_factory=dict)
    mounts: dict[str, Row] = field(default_factory=dict)
    mounted_file_systems: dict[str, Row] = field(default_factory=dict)
    mounted_files: dict[str, Row] = field(default_factory=dict)
    promises: list[Row] = field(default_factory=list)
    sessions: dict[str, int] = field(default_factory=dict)
    refused_logins: int = 0
    last_login: int = 0
    last_refused_login: int = 0
    last_refused_address: str = ""
    slot_free_at: int = 0
    made_tasks: list[Row] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Whole or not at all, also when killed half-way."""
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(asdict(self)))
        beside.replace(path)

    @classmethod
    def load(cls, path: Path) -> State:
        """Raises `ValueError` when the file is not a state of this version."""
        try:
            kept = json.loads(path.read_text())
            if missing := {f.name for f in fields(cls)} - set(kept):
                raise KeyError(*missing)
            settings, clock = Settings(**kept.pop("settings")), Clock(**kept.pop("clock"))
            return cls(settings=settings, clock=clock, **kept)
        except (json.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path} is not a state of this simulator: remove it to start over") from error
