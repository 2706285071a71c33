"""`python -m vprotect_simulator --folder F`: a stand-in vProtect on this machine until it is stopped."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from vprotect_simulator.server import SimulatorServer


def main() -> int:
    options = _options()
    password = _password(options)
    if not password:
        print("The service account needs a password: set SIMULATOR_PASSWORD or --password-file.", file=sys.stderr)
        return 2
    try:
        simulator = SimulatorServer(
            options.folder,
            login=options.login,
            password=password,
            port=options.port,
            host=options.host,
            names=("localhost", "127.0.0.1", *options.name),
            speed=options.speed,
            landscape_name=options.landscape,
            state_file=options.state_file,
            dialect=options.dialect,
            tls=not options.http,
        )
    except (OSError, ValueError) as error:
        print(f"The simulator cannot start: {error}", file=sys.stderr)
        return 1
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    simulator.start()
    print(f"vProtect is simulated at {simulator.url} (CA: {simulator.ca_file})", flush=True)
    stop.wait()
    simulator.stop()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m vprotect_simulator", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="keeps its CA")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8181)
    parser.add_argument("--name", action="append", default=[], help="another name under which it is reached")
    parser.add_argument("--login", default="portal-svc")
    parser.add_argument("--password-file", type=Path, help="instead of SIMULATOR_PASSWORD")
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster than life work runs")
    parser.add_argument("--landscape", default="demo", help="demo, small or empty")
    parser.add_argument("--state-file", type=Path, help="where it remembers; without it, it forgets at the end")
    parser.add_argument("--dialect", default="classic", help="classic or current")
    parser.add_argument("--http", action="store_true", help="plain HTTP instead of HTTPS")
    return parser.parse_args()


def _password(options: argparse.Namespace) -> str:
    if options.password_file:
        return options.password_file.read_text().strip()
    return os.environ.get("SIMULATOR_PASSWORD", "")


if __name__ == "__main__":
    sys.exit(main())
