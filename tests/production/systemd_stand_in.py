"""Stands for systemctl, systemd-run, journalctl and an editor where there is no systemd: starts what units state.

Users, environments and commands are the units' own; their limits and walls (ProtectSystem and the like) are systemd's
to build and are not here.
"""

import os
import pwd
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

UNITS = Path("/etc/systemd/system")
LOGS = Path("/var/log")
ORDER = ("migrations", "web", "operator", "worker", "downloads", "notifier", "beat")


def read_environment(file: str) -> dict[str, str]:
    lines = Path(file).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def as_user(
    user: str, command: list[str], environment: dict[str, str], cwd: str, umask: int = 0o022, **options: object
) -> subprocess.Popen:
    entry = pwd.getpwnam(user)
    base = {"PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "LANG": "C.UTF-8"}
    groups = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    return subprocess.Popen(command, env={**base, **environment}, cwd=cwd, umask=umask, **groups, **options)


def start_unit(name: str) -> None:
    text = (UNITS / f"portal-{name}.service").read_text()

    def all_of(key: str) -> list[str]:
        return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)

    environment: dict[str, str] = {}
    for file in all_of("EnvironmentFile"):
        environment |= read_environment(file)
    for line in all_of("Environment"):
        environment |= dict(pair.split("=", 1) for pair in line.split())
    command = shlex.split(all_of("ExecStart")[0].replace("%%", "%"))
    with (LOGS / f"portal-{name}.log").open("ab") as log:
        options = {"stdout": log, "stderr": log, "start_new_session": True}
        umask = int(all_of("UMask")[0], 8)
        process = as_user(all_of("User")[0], command, environment, all_of("WorkingDirectory")[0], umask, **options)
    if "Type=oneshot" in text and process.wait(300) != 0:
        sys.exit((LOGS / f"portal-{name}.log").read_text()[-3000:])


def systemctl(words: list[str]) -> None:
    match words:
        case ["daemon-reload"]:
            pass
        case ["restart", "redis-server"]:
            Path("/run/redis").mkdir(exist_ok=True)
            entry = pwd.getpwnam("redis")
            os.chown("/run/redis", entry.pw_uid, entry.pw_gid)
            subprocess.run(["runuser", "-u", "redis", "--", "redis-server", "/etc/redis/redis.conf"], check=True)
            time.sleep(1)
        case ["enable", "--now", "portal.target"]:
            for name in ORDER:
                start_unit(name)
            wait_for_port(8000)
        case ["status", _]:
            for name in ORDER[1:]:
                if subprocess.run(["pgrep", "--euid", _user_of(name)], capture_output=True).returncode != 0:
                    sys.exit(f"portal-{name} does not run: {(LOGS / f'portal-{name}.log').read_text()[-3000:]}")
        case ["reload", "nginx"]:
            subprocess.run(["nginx"], check=True)
        case _:
            sys.exit(f"systemctl {words}: what is that?")


def wait_for_port(port: int) -> None:
    """As a person does, who reads on before the next command."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    sys.exit(f"nobody listens on {port}")


def _user_of(name: str) -> str:
    return re.findall(r"^User=(.*)$", (UNITS / f"portal-{name}.service").read_text(), re.MULTILINE)[0]


def systemd_run(words: list[str]) -> None:
    environment: dict[str, str] = {}
    user, cwd = "root", "/"
    while words and words[0].startswith("--"):
        option = words.pop(0)
        if option in ("--pipe", "--wait"):
            continue
        value = words.pop(0)
        match option:
            case "--property":
                environment |= read_environment(value.removeprefix("EnvironmentFile="))
            case "--setenv":
                environment |= dict([value.split("=", 1)])
            case "--uid":
                user = value
            case "--working-directory":
                cwd = value
    sys.exit(as_user(user, words, environment, cwd).wait())


def editor(files: list[str]) -> None:
    """A person who keeps the example's names, which this network knows, and brings vProtect's CA."""
    assert all(Path(file).exists() for file in files)
    Path("/etc/portal/vprotect-ca.pem").write_bytes(Path("/root/simulator/ca.pem").read_bytes())


def main(name: str, words: list[str]) -> None:
    match name:
        case "systemctl":
            systemctl(words)
        case "systemd-run":
            systemd_run(words)
        case "editor":
            editor(words)
        case "journalctl":
            for log in sorted(LOGS.glob("portal-*.log")):
                print(log.name, log.read_text()[-4000:])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
