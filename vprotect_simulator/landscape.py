"""What there is in the simulated vProtect before anybody asks: machines, projects, destinations, history.

All GUIDs are made from names (`guid_of`), so that whoever seeds tenants beside it knows them. `demo` looks real;
`small` is for tests; `empty` has destinations only.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from vprotect_simulator.backups import backup_size, location, note_success, platform_of, request_backup
from vprotect_simulator.firing import DAY_MS, DAYS
from vprotect_simulator.names import Row, enum, guid_of, reference
from vprotect_simulator.plans import plan_next_firing
from vprotect_simulator.state import State

GIB = 1024**3
NIGHT_IS_OVER_MS = 3 * 3600 * 1000
PROJECT_UUIDS = {
    "aurora-books": "e5a2c7b64a0d4d1fb0b5f8f0c2b1a910",
    "borealis-clinic": "7b1d0f3c9c5e4b52a1d8f6e4b7c09d21",
    "internal-ops": "0f4e2d1c3b5a69788796a5b4c3d2e1f0",
}
OPENSTACK, RHV, VCENTER, KVM = "OPENSTACK", "RHV", "VCENTER", "KVM"
MANAGERS = {
    OPENSTACK: "https://keystone.example.test:5000/v3",
    RHV: "https://rhvm.example.test/ovirt-engine",
    VCENTER: "https://vcenter.example.test/sdk",
}
REASONS = (
    "Snapshot could not be created: not enough space on storage ssd-pool-2 at hv-03.internal",
    "Backup destination is not assigned to the node",
    "java.nio.file.NoSuchFileException: /vprotect_data/import/disk-0.qcow2 on node1.internal",
    "Window passed: the task was not started in time",
    "Cannot connect to hypervisor kvm-03.internal: Connection timed out",
)


@dataclass(frozen=True)
class Kind:
    """How a machine of a landscape is and fared.

    `days`: how long its history is; `fails`: its last run failed; `listed_under`: a tenantId value that only a
    filtered listing knows, as the row says nothing of it; `key`: what its GUID is made from, if not its name.
    """

    name: str
    platform: str = OPENSTACK
    project: str = ""
    tenant_value: str = ""
    disk_gib: int = 20
    days: int = 30
    policy: str = "daily"
    present: bool = True
    fails: bool = False
    is_overdue: bool = False
    key: str = ""
    listed_under: str = ""


def build(name: str, state: State) -> None:
    """Fills an empty state. Raises `ValueError` for an unknown landscape."""
    landscapes: dict[str, Callable[[State], None]] = {"demo": _demo, "small": _small, "empty": lambda _state: None}
    if name not in landscapes:
        raise ValueError(f"there is no landscape {name!r}; there are {', '.join(landscapes)}")
    _shared(state)
    landscapes[name](state)


# ── What all landscapes share ────────────────────────────────────────────────


def _shared(state: State) -> None:
    for name, uuid in PROJECT_UUIDS.items():
        guid = guid_of(f"project/{name}")
        state.projects[guid] = {"guid": guid, "name": name, "uuid": uuid}
    for name, kind, capacity, used, is_default, not_for in (
        ("primary-fs", "FILESYSTEM", 40_000, 23_500, True, []),
        ("offsite-s3", "S3", 100_000, 18_200, False, [KVM]),
        ("archive-tape", "ISP", 250_000, 91_000, False, [OPENSTACK]),
    ):
        guid = guid_of(f"destination/{name}")
        state.destinations[guid] = {
            "guid": guid,
            "name": name,
            "type": enum(kind),
            "defaultBackupDestination": is_default,
            "totalAvailableSpace": capacity * GIB,
            "totalUsedSpace": used * GIB,
            "visibleForAllVms": True,
            "_not_for": not_for,
        }
    _add_policy(state, "daily", nightly=("INCREMENTAL", DAYS[:6]), sundays=("FULL", DAYS[6:]))
    _add_policy(state, "weekly-full", saturdays=("FULL", DAYS[5:6]))
    _add_policy(state, "no-schedule")
    for platform in MANAGERS:
        _add_target(state, guid_of(f"manager/{platform}"), MANAGERS[platform], platform, is_manager=True)
    _add_target(state, guid_of("host/kvm-01"), "kvm-01.example.test", KVM, is_manager=False)
    guid = guid_of("node/node1")
    state.nodes[guid] = {"guid": guid, "name": "node1"}


def _add_policy(state: State, name: str, **schedules: tuple[str, tuple[str, ...]]) -> None:
    """A provider's policy: nobody's tenantId, one rule, schedules of its own at 02:00 UTC."""
    policy, rule = guid_of(f"policy/{name}"), guid_of(f"rule/{name}")
    destination = guid_of("destination/primary-fs")
    state.policies[policy] = {
        "guid": policy,
        "name": name,
        "priority": 50,
        "autoRemoveNonPresent": False,
        "autoAssignSettings": {"mode": enum("DISABLED")},
        "tenantId": None,
    }
    state.rules[rule] = {
        "guid": rule,
        "name": "Default",
        "_policy": policy,
        "_schedules": [guid_of(f"schedule/{schedule}") for schedule in schedules],
        "_destinations": [destination],
        "_destination": destination,
    }
    if state.dialect == "current":
        state.policies[policy] |= {"active": True, "backupRetryCount": 0}
        state.rules[rule] |= {"active": True, "position": 0, "ruleBackupDestinations": [_primary(state, destination)]}
    for schedule, (backup_type, days) in schedules.items():
        _add_schedule(state, schedule, backup_type, days)


def _primary(state: State, destination: str) -> Row:
    return {
        "backupDestination": reference(state.destinations[destination]),
        "roleType": enum("PRIMARY"),
        "active": True,
        "daysToKeepRetentionLock": 0,
        "backupRetentionSettings": {"retentionKeepLastNFull": 4, "retentionKeepLastNIncremental": 30},
    }


def _add_schedule(state: State, name: str, backup_type: str, days: tuple[str, ...]) -> None:
    guid = guid_of(f"schedule/{name}")
    state.schedules[guid] = {
        "guid": guid,
        "name": name,
        "type": enum("VM_BACKUP"),
        "backupType": enum(backup_type),
        "executionType": enum("TIME"),
        "active": True,
        "hour": 2 * 3_600_000,
        "startWindowLength": 6 * 3_600_000,
        "daysOfWeek": [enum(day) for day in days],
        "months": [],
        "dayOfWeekOccurrences": [],
        "tenantId": None,
        # Until somebody saves it: what tests find must not depend on the time of day.
        "_sleeps": True,
    }


def _add_target(state: State, guid: str, name: str, platform: str, *, is_manager: bool) -> None:
    """Where machines can be made again, with a cluster and two storages (API reference, 13)."""
    state.targets[guid] = {"guid": guid, "name": name, "type": enum(platform), "_is_manager": is_manager}
    cluster = guid_of(f"cluster/{platform}")
    cluster_name = {OPENSTACK: "nova", RHV: "Default", VCENTER: "Compute", KVM: "kvm-01"}[platform]
    uuid = "nova" if platform == OPENSTACK else guid_of(f"uuid/cluster/{platform}")
    state.clusters[cluster] = {"guid": cluster, "uuid": uuid, "name": cluster_name, "_target": guid}
    for name, capacity, used in (("ssd-pool", 2000, 800), ("archive-pool", 8000, 7990)):
        storage = guid_of(f"storage/{platform}/{name}")
        state.storages[storage] = {
            "guid": storage,
            "uuid": guid_of(f"uuid/storage/{platform}/{name}"),
            "name": name,
            "totalAvailableSpace": capacity * GIB,
            "totalUsedSpace": used * GIB,
            "clusters": [{"guid": cluster, "name": cluster_name}],
            "_target": guid,
        }


def add_machine(state: State, kind: Kind) -> Row:
    """Adds a machine with its history; the same `kind` makes the same machine on any day."""
    vm = _machine(state, kind)
    state.vms[vm["guid"]] = vm
    if kind.days:
        _add_history(state, vm, kind)
    if kind.policy and kind.policy != "no-schedule":
        vm["backupUpToDate"] = bool(kind.days) and not kind.is_overdue and not kind.fails
    if not kind.present:
        vm.pop("backupUpToDate", None)
    return vm


def _machine(state: State, kind: Kind) -> Row:
    rng = random.Random(kind.name)  # noqa: S311
    guid = guid_of(f"vm/{kind.key or kind.name}")
    host = f"{'compute' if kind.platform == OPENSTACK else kind.platform.lower()}-{rng.randint(1, 4):02d}"
    is_managed = kind.platform in MANAGERS
    policy = state.policies.get(guid_of(f"policy/{kind.policy}"))
    project = state.projects.get(guid_of(f"project/{kind.project}"))
    return {
        "guid": guid,
        "name": kind.name,
        "uuid": guid_of(f"uuid/{kind.key or kind.name}"),
        "type": enum("VM"),
        "present": kind.present,
        "hvmType": enum(kind.platform) if is_managed else None,
        "hvType": None if is_managed else enum(kind.platform),
        "hvManager": {"guid": guid_of(f"manager/{kind.platform}"), "name": MANAGERS[kind.platform]}
        if is_managed
        else None,
        "hypervisor": {"guid": guid_of(f"host/{host}"), "name": host} if kind.present else None,
        "hvCluster": {"guid": guid_of(f"cluster/{kind.platform}"), "name": "nova" if is_managed else "Default"},
        "project": project and reference(project),
        "tenantId": kind.tenant_value or None,
        "vmBackupPolicy": policy and reference(policy),
        "lastSuccessfulBackupSize": 0,
        "restorable": False,
        "warningsPresent": False,
        "tags": rng.sample(["production", "test", "web", "database", "finance"], k=rng.randint(0, 2)),
        "quiesceBeforeSnapshot": False,
        "supportsQuiesceSnapshot": is_managed,
        "sshHost": "10.0.0.1",
        "sshUser": "root",
        "vmExportImportMode": enum("DISK_IMAGE_TRANSFER"),
        "_disk_bytes": kind.disk_gib * GIB,
        "_tenant_values": [v for v in (kind.tenant_value, kind.listed_under, PROJECT_UUIDS.get(kind.project, "")) if v],
    }


def _add_history(state: State, vm: Row, kind: Kind) -> None:
    """One backup a night at about 02:00 UTC, full on Sundays; what is older than three weeks is removed."""
    rng = random.Random(kind.name)  # noqa: S311
    # The last night that is over by now, whatever time of the day it is.
    last_night = (state.clock.now_ms() - NIGHT_IS_OVER_MS) // DAY_MS * DAY_MS
    newest_day = 3 if kind.is_overdue else 40 if not kind.present else 0
    base: Row | None = None
    for day in range(kind.days + newest_day, newest_day - 1, -1):
        at = last_night - day * DAY_MS + rng.randint(7_200_000, 9_000_000)
        is_full = base is None or kind.policy == "weekly-full" or (at // DAY_MS + 4) % 7 == 0
        fails = (day == newest_day and kind.fails) or (day > newest_day + 1 and rng.random() < 0.02)
        backup = _past_backup(state, vm, at, "FULL" if is_full else "INCREMENTAL", base, rng)
        if fails:
            backup.update(status=enum("FAILED"), statusInfo=rng.choice(REASONS), size=0, backupLocations=[])
            vm["lastBackup"] = at
        else:
            base = backup
            if day > 21 and kind.present:
                backup["status"] = enum("SUCCESS_REMOVED")
                backup["backupLocations"][0]["status"] = enum("REMOVED")
            elif rng.random() < 0.03:
                backup.update(status=enum("PARTIAL_SUCCESS"), warnings=["One disk was left out"], warningsPresent=True)
            note_success(state, vm, backup)


def _past_backup(state: State, vm: Row, at: int, kind: str, base: Row | None, rng: random.Random) -> Row:
    size = int(backup_size(vm, kind) * rng.uniform(0.8, 1.1))
    export, store = (max(int(size / rate / GIB * 1000), 20_000) for rate in (0.12, 0.2))
    guid = guid_of(f"backup/{vm['guid']}/{at // DAY_MS}")
    backup: Row = {
        "guid": guid,
        "name": f"{vm['name']} - backup",
        "status": enum("SUCCESS"),
        "statusInfo": f"Backup of VM: {vm['name']} (size: {size // 1024**2} MiB) stored.",
        "type": enum(kind),
        "size": size,
        "backupTime": at,
        "snapshotTime": at + 2000,
        "protectedEntity": reference(vm, "VM"),
        "parentBackup": reference(base) if base and kind == "INCREMENTAL" else None,
        "sourceProject": vm["project"],
        "taskTimeStats": {
            "queuedExportTime": rng.randint(2000, 90_000),
            "exportTime": export,
            "queuedStoreTime": rng.randint(1000, 20_000),
            "storeTime": store,
        },
        "taskDurationTime": export + store,
        "originEntity": {"guid": guid_of("schedule/nightly"), "name": "nightly", "type": enum("SCHEDULE")},
        "warnings": [],
        "warningsPresent": False,
        "hidden": False,
        "_destination": None,
        "_platform": platform_of(vm),
    }
    destination = state.destinations[guid_of("destination/primary-fs")]
    backup["backupLocations"] = [location(backup, destination)]
    state.backups[guid] = backup
    return backup


def start_backup(state: State, name: str, backup_type: str = "FULL") -> None:
    """A backup that is on its way when the landscape is first seen."""
    wish = {
        "backup_type": backup_type,
        "destination": state.destinations[guid_of("destination/primary-fs")],
        "priority": 50,
        "window_start": None,
        "window_end": None,
        "retry_count": 0,
        "schedule": state.schedules[guid_of("schedule/nightly")],
    }
    request_backup(state, state.vms[guid_of(f"vm/{name}")], wish)


# ── The landscapes ───────────────────────────────────────────────────────────


def _small(state: State) -> None:
    """Two projects, a claimed-by-GUID machine and one that is nobody's."""
    aurora, borealis = PROJECT_UUIDS["aurora-books"], "borealis-clinic"
    for kind in (
        Kind("web-01", tenant_value=aurora, project="aurora-books", days=3),
        Kind("db_01 übergröße", key="db-01", tenant_value=aurora, project="aurora-books", policy="", days=2),
        Kind("gone-01", tenant_value=aurora, project="aurora-books", present=False, days=3),
        Kind("new-01", tenant_value=aurora, project="aurora-books", days=0),
        Kind("app-01", project=borealis, days=2),
        Kind("app-02", project=borealis, days=2, fails=True),
        Kind("bare-01", platform=KVM, policy="weekly-full", days=1),
        Kind("lab-01", platform=RHV, policy="", days=0),
    ):
        add_machine(state, kind)


AURORA = (
    *("shop-web-01", "shop-web-02", "shop-web-03", "shop-db-01", "shop-db-02", "warehouse_api", "warehouse_db"),
    *("büro-datei_server", "lesezirkel-app", "katalog-suche", "payment-gateway", "mail-relay", "wiki-intern"),
    "kasse-münchen",
)
BOREALIS = (
    *("patienten-portal", "röntgen_archiv", "labor-db", "labor-app", "termin-kalender", "dc-01", "dc-02", "print-01"),
    *("terminal-01", "terminal-02", "terminal-03", "abrechnung", "monitoring"),
)
CUMULUS = (
    *("erp-app", "erp-db", "rezept_verwaltung", "lager-łódź", "produktion-01", "produktion-02", "etiketten"),
    *("backup-proxy", "telefonie", "scale-terminal", "küche-display", "legacy_erp"),
)


def _demo(state: State) -> None:
    _add_policy(state, "archive", **{"archive-nightly": ("FULL", DAYS)})
    for kind in (*_aurora(), *_borealis(), *_cumulus(), *_nobodys()):
        add_machine(state, kind)
    for schedule in state.schedules.values():
        del schedule["_sleeps"]
        plan_next_firing(state, schedule, state.clock.now_ms())
    state.schedules[guid_of("schedule/archive-nightly")]["active"] = False
    # vProtect tells nothing of a schedule that it has not come to yet.
    state.vms[guid_of("vm/schulung-02")].pop("backupUpToDate")
    state.vms[guid_of("vm/kasse-köln")]["_behaviour"] = {"EXPORT": "fail"}
    state.vms[guid_of("vm/cumulus-12")]["_behaviour"] = {"STORE": "fail"}
    for name in ("shop-db-02", "röntgen_archiv", "cumulus-02"):
        start_backup(state, name)


def _disk(name: str) -> int:
    return random.Random(name).choice([8, 16, 24, 40, 60, 120, 240])  # noqa: S311


def _aurora() -> list[Kind]:
    """Rows that name their tenantId, except three that only a filtered listing ties to it."""
    value = PROJECT_UUIDS["aurora-books"]
    here = partial(Kind, project="aurora-books", tenant_value=value)
    return [
        *(here(name, disk_gib=_disk(name)) for name in AURORA),
        here("kasse-köln", disk_gib=16, fails=True),
        here("blog-staging", disk_gib=8, policy="", days=0),
        here("neuer-shop_prototyp", disk_gib=40, days=0),
        here("reports-old", disk_gib=60, is_overdue=True),
        here("intranet-2019", disk_gib=24, present=False, days=10),
        here("shop-web-00", disk_gib=16, present=False, days=5),
        here("test-runner", disk_gib=16, policy="no-schedule", days=4),
        *(Kind(f"edge-cache-{n:02d}", disk_gib=8, listed_under=value) for n in (1, 2, 3)),
    ]


def _borealis() -> list[Kind]:
    """Rows that name only their project."""
    here = partial(Kind, project="borealis-clinic")
    return [
        *(here(name, disk_gib=_disk(name)) for name in BOREALIS),
        here("pacs-import", disk_gib=120, fails=True),
        here("befund-export", disk_gib=24, is_overdue=True),
        here("praxis-alt", disk_gib=40, present=False, days=12),
        here("schulung-01", disk_gib=16, policy="", days=0),
        here("schulung-02", disk_gib=16, days=6),
        here("steuer-2019", disk_gib=24, policy="archive", days=20),
    ]


def _cumulus() -> list[Kind]:
    """Outside OpenStack: neither tenantId nor project; their tenant claims them by GUID."""
    kinds = []
    for number, name in enumerate(CUMULUS, 1):
        here = partial(Kind, name, key=f"cumulus-{number:02d}", disk_gib=_disk(name), days=14)
        if number > 9:
            kinds.append(here(platform=KVM, policy="weekly-full", fails=name == "legacy_erp"))
        else:
            kinds.append(here(platform=RHV, present=name != "telefonie"))
    return kinds


def _nobodys() -> list[Kind]:
    ops = [Kind(f"ops-bastion-{n:02d}", project="internal-ops", disk_gib=8) for n in (1, 2, 3)]
    return [*ops, Kind("ops-registry", project="internal-ops", disk_gib=240), Kind("spare-kvm", platform=KVM, days=0)]
