"""`python -m bench.peak`: a worker that reads the inventory; prints its memory as JSON, idle and at its highest."""

from __future__ import annotations

import json
from pathlib import Path


def main() -> None:
    import django

    django.setup()
    from django.db import connection

    import vprotect_bridge.tasks  # noqa: F401 — all that a worker has loaded
    from vprotect_bridge.connection import vprotect
    from vprotect_bridge.sync import sync_inventory

    connection.ensure_connection()
    vprotect().list_destinations()
    idle = _status("VmRSS")
    first = sync_inventory(vprotect())
    after_first = _status("VmHWM")
    sync_inventory(vprotect())
    print(
        json.dumps({"idle": idle, "first": after_first, "peak": _status("VmHWM"), "machines": first.seen}), flush=True
    )


def _status(name: str) -> int:
    """Bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) * 1024


if __name__ == "__main__":
    main()
