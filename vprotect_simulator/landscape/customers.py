"""Who has which machines: three customers and nobody in `demo`, a handful of odd ones in `small`."""

from __future__ import annotations

import random
from functools import partial

from vprotect_simulator.firing import DAYS
from vprotect_simulator.landscape.history import start_backup
from vprotect_simulator.landscape.infrastructure import KVM, PROJECT_UUIDS, RHV
from vprotect_simulator.landscape.machines import Kind, add_machine
from vprotect_simulator.landscape.standing_plans import add_policy, wake_schedules
from vprotect_simulator.names import guid_of
from vprotect_simulator.state import State

SNAPSHOTS = "snapshots-of-a-week"


def lay_out_small(state: State) -> None:
    """Two projects, a claimed-by-GUID machine and one that is nobody's."""
    aurora, borealis = PROJECT_UUIDS["aurora-books"], "borealis-clinic"
    for kind in (
        Kind("web-01", tenant_value=aurora, project="aurora-books", days=3, snapshot_policy=SNAPSHOTS),
        Kind("db_01 übergröße", key="db-01", tenant_value=aurora, project="aurora-books", policy="", days=2),
        Kind("gone-01", tenant_value=aurora, project="aurora-books", present=False, days=3),
        Kind("new-01", tenant_value=aurora, project="aurora-books", days=0),
        Kind("app-01", project=borealis, days=2, has_unsupported_disk=True),
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


# Who is in a plan of its own: name of the machine or its key → policy.
ELSEWHERE = {
    "warehouse_api": "shop-offsite",
    "payment-gateway": "shop-offsite",
    "labor-app": "lab-offsite",
    "abrechnung": "lab-offsite",
    "cumulus-01": "erp-tape",
}
STORED_IN = {"shop-offsite": "offsite-s3", "lab-offsite": "offsite-s3", "erp-tape": "archive-tape"}
# Its backup takes so long that it is still on its way when somebody first looks.
LARGEST, LARGEST_GIB = "röntgen_archiv", 6000


def lay_out_demo(state: State) -> None:
    add_policy(state, "archive", {"archive-nightly": ("FULL", DAYS)})
    for name, destination in STORED_IN.items():
        nightly = {f"{name}-nightly": ("INCREMENTAL", DAYS[:6]), f"{name}-sundays": ("FULL", DAYS[6:])}
        add_policy(state, name, nightly, stored_in=destination)
    for kind in (*_aurora(), *_borealis(), *_cumulus(), *_nobodys()):
        add_machine(state, kind)
    wake_schedules(state)
    state.schedules[guid_of("schedule/archive-nightly")]["active"] = False
    # vProtect tells nothing of a schedule that it has not come to yet.
    state.vms[guid_of("vm/schulung-02")].pop("backupUpToDate")
    state.vms[guid_of("vm/kasse-köln")]["_behaviour"] = {"EXPORT": "fail"}
    state.vms[guid_of("vm/cumulus-12")]["_behaviour"] = {"STORE": "fail"}
    for name in ("shop-db-02", "röntgen_archiv", "cumulus-02"):
        start_backup(state, name)


def _disk(name: str) -> int:
    if name == LARGEST:
        return LARGEST_GIB
    return random.Random(name).choice([8, 16, 24, 40, 60, 120, 240])  # noqa: S311


def _policy(name: str) -> str:
    return ELSEWHERE.get(name, "daily")


def _aurora() -> list[Kind]:
    """Rows that name their tenantId, except three that only a filtered listing ties to it."""
    value = PROJECT_UUIDS["aurora-books"]
    here = partial(Kind, project="aurora-books", tenant_value=value)
    return [
        *(here(name, disk_gib=_disk(name), policy=_policy(name)) for name in AURORA),
        here("kasse-köln", disk_gib=16, fails=True),
        here("blog-staging", disk_gib=8, policy="", days=0),
        here("neuer-shop_prototyp", disk_gib=40, days=0),
        here("reports-old", disk_gib=60, is_overdue=True, snapshot_policy=SNAPSHOTS),
        here("intranet-2019", disk_gib=24, present=False, days=10),
        here("shop-web-00", disk_gib=16, present=False, days=5),
        here("test-runner", disk_gib=16, policy="no-schedule", days=4, has_unsupported_disk=True),
        *(Kind(f"edge-cache-{n:02d}", disk_gib=8, listed_under=value) for n in (1, 2, 3)),
    ]


def _borealis() -> list[Kind]:
    """Rows that name only their project."""
    here = partial(Kind, project="borealis-clinic")
    return [
        *(here(name, disk_gib=_disk(name), policy=_policy(name)) for name in BOREALIS),
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
            policy = _policy(f"cumulus-{number:02d}")
            kinds.append(here(platform=RHV, present=name != "telefonie", policy=policy))
    return kinds


def _nobodys() -> list[Kind]:
    ops = [Kind(f"ops-bastion-{n:02d}", project="internal-ops", disk_gib=8) for n in (1, 2, 3)]
    return [*ops, Kind("ops-registry", project="internal-ops", disk_gib=240), Kind("spare-kvm", platform=KVM, days=0)]
