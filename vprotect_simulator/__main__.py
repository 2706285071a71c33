"""`python -m vprotect_simulator --folder F`: starts the simulated vProtect."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from vprotect_simulator.api import DIALECTS
from vprotect_simulator.landscape import LANDSCAPES
from vprotect_simulator.seed import read as read_seed
from vprotect_simulator.server import SimulatorServer


def main() -> int:
    options = _options()
    try:
        password = _secret(options.password_file, "SIMULATOR_PASSWORD")
        if not password:
            print("The service account needs a password: set SIMULATOR_PASSWORD or --password-file.", file=sys.stderr)
            return 2
        simulator = _simulator(options, password)
    except (OSError, ValueError, OverflowError) as error:
        print(f"The simulator cannot start: {error}", file=sys.stderr)
        return 1
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    simulator.start()
    authority = "" if options.http else f" (CA: {simulator.ca_file})"
    print(f"vProtect is simulated at {simulator.url}{authority}", flush=True)
    stop.wait()
    simulator.stop()
    return 0


def _simulator(options: argparse.Namespace, password: str) -> SimulatorServer:
    return SimulatorServer(
        options.folder,
        login=options.login,
        password=password,
        token=_secret(options.token_file, "SIMULATOR_TOKEN"),
        port=options.port,
        host=options.host,
        names=("localhost", "127.0.0.1", *options.name),
        speed=options.speed,
        landscape_name=options.landscape,
        seed=read_seed(options.seed) if options.seed else None,
        state_file=options.state_file,
        dialect=options.dialect,
        tls=not options.http,
        cors_origins=tuple(options.cors_origin),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m vprotect_simulator",
        description="A stand-in vProtect on this machine until it is stopped. docs/simulator.md tells what it plays.",
    )
    add = parser.add_argument
    add("--folder", type=Path, required=True, help="where its CA is kept; a client verifies against ca.pem in it")
    add("--host", default="127.0.0.1", help="the address to listen at (%(default)s)")
    add("--port", type=int, default=8181, help="%(default)s; 0 takes any free one")
    add("--http", action="store_true", help="plain HTTP instead of HTTPS")
    add("--name", action="append", default=[], help="another name under which it is reached, for its certificate")
    add("--dialect", choices=DIALECTS, default="classic", help="3.8 to 4.x, or 5.0 to 7.x (%(default)s)")
    add("--login", default="portal-svc", help="of the one account (%(default)s)")
    add("--password-file", type=Path, help="instead of SIMULATOR_PASSWORD in the environment")
    add("--token-file", type=Path, help="for POST /session/login-with-token, instead of SIMULATOR_TOKEN")
    add("--speed", type=float, default=1.0, help="how many times faster than life work runs (%(default)s)")
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--landscape", choices=tuple(LANDSCAPES), default="demo", help="what there is at first (%(default)s)"
    )
    start.add_argument("--seed", type=Path, help="a JSON file that says it instead: docs/simulator.md, Seed files")
    add("--state-file", type=Path, help="where it remembers; without it, it forgets at the end")
    add("--cors-origin", action="append", default=[], help="pages of this origin may call it from a browser")
    return parser.parse_args()


def _secret(file: Path | None, variable: str) -> str:
    return file.read_text().strip() if file else os.environ.get(variable, "")


if __name__ == "__main__":
    sys.exit(main())
