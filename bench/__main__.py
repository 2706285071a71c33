"""`python -m bench [--quick] [GROUP …]`: makes the data if need be, measures, prints a table, writes JSON."""

from __future__ import annotations

import argparse
import fcntl
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import calls, data, memory, pages, pooler, syncing, timers, watchers, wishes
from bench.figures import Figure, last_line, table
from bench.stack import FOLDER, Stack, as_worker
from demo import processes

Group = Callable[[Stack, int], Iterator[Figure]]
GROUPS: dict[str, Group] = {
    "pages": pages.measure,
    "calls": calls.measure,
    "watchers": watchers.measure,
    "wishes": wishes.measure,
    "sync": syncing.measure,
    "timers": timers.measure,
    "pooler": pooler.measure,
    "memory": memory.measure,
}
QUICK_PAIRS, PAIRS = 15, 21


def main() -> int:
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(130))
    FOLDER.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = (FOLDER / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Another benchmark of this checkout is running.", file=sys.stderr)
        return 2
    stack = Stack(data.QUICK if options.quick else data.FULL)
    figures: list[Figure] = []
    try:
        stack.start()
        _say("data made" if stack.prepare_data() else "data found")
        as_worker(stack.programs_on(stack.names["history"]))
        for name in options.groups or GROUPS:
            for figure in GROUPS[name](stack, QUICK_PAIRS if options.quick else PAIRS):
                _say(f"{figure.name}: {figure.measured}")
                figures.append(figure)
    finally:
        stack.stop()
    print(f"\n{table(figures)}\n")
    _write(figures, FOLDER.parent / "bench.json")
    print(last_line(figures))
    return 0 if all(figure.is_within for figure in figures) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures the portal (docs/scaling.md).")
    parser.add_argument("--quick", action="store_true", help="less history, fewer pairs: under three minutes")
    parser.add_argument(
        "groups", nargs="*", choices=[*GROUPS, []], metavar="GROUP", help="only these; without any, all"
    )
    return parser.parse_args()


def _write(figures: list[Figure], file: Path) -> None:
    file.write_text(json.dumps([figure.as_json() for figure in figures], indent=2, ensure_ascii=False))


_started = time.monotonic()


def _say(text: str) -> None:
    print(f"  {time.monotonic() - _started:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    with processes.Supervisor():
        sys.exit(main())
