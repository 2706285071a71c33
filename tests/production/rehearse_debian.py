"""`make install-debian`: runs the commands of docs/install-debian.md, all of them and as they stand, on this Debian.

Needs root. Nothing of the machine is changed: the commands run in a copy that lies over its file system (an overlay in
memory), those after the installation of packages in a network of their own. There is no systemd in it, so `systemctl`,
`systemd-run` and `journalctl` are small stand-ins that start what the units state, as the users that the units name.
Ends with a backup that somebody asks for in a browser behind nginx.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.test_docs import GUIDE, ROOT, commands

STANDS_IN = Path(__file__).with_name("systemd_stand_in.py")
VPROTECT_PASSWORD = "a password of the service account"
PATH = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


def prologue() -> str:
    """What stands in for systemd, and the place where the code comes from."""
    return f"""
        set -e
        export PATH={PATH} HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
        cd /
        for name in systemctl systemd-run journalctl editor; do
            printf '#!/bin/sh\\nexec /usr/bin/python3 {STANDS_IN} %s "$@"\\n' $name > /usr/local/sbin/$name
            chmod 755 /usr/local/sbin/$name
        done
        git config --global url."file:///root/portal.git".insteadOf https://git.example/portal.git
        git config --global --add safe.directory '*'
        git clone --quiet --no-hardlinks --bare {ROOT} /root/portal.git
        rm -rf /etc/nginx/conf.d/* /etc/nginx/sites-enabled/*
    """


def own_network() -> str:
    """What a host would bring: the certificate, vProtect (simulated), a PostgreSQL that runs."""
    python = ROOT / ".venv/bin/python"
    return f"""
        ip link set lo up
        printf '127.0.0.1 localhost portal.example operators.example vprotect.example\\n' > /etc/hosts
        mkdir -p /root/simulator
        cd {ROOT}
        SIMULATOR_PASSWORD='{VPROTECT_PASSWORD}' {python} -m vprotect_simulator --port 8181 --folder /root/simulator \\
            --name vprotect.example --login portal-svc --speed 60 > /root/simulator/log 2>&1 &
        {python} -c "import trustme; ca = trustme.CA(); one = ca.issue_cert('portal.example', 'operators.example'); \\
            open('/root/portal-ca.pem', 'wb').write(ca.cert_pem.bytes()); \\
            one.private_key_pem.write_to_path('/root/tls_key'); \\
            open('/root/tls_certificate', 'wb').write(b''.join(c.bytes() for c in one.cert_chain_pems))"
        cd /
        pg_ctlcluster $(ls /etc/postgresql) main start
        until runuser -u postgres -- psql --command 'SELECT 1' > /dev/null 2>&1; do sleep 0.3; done
    """


def epilogue() -> str:
    """The journey of somebody who was there when the portal was installed."""
    return f"""
        cp /root/simulator/ca.pem /etc/portal/vprotect-ca.pem
        cd {ROOT}
        {ROOT}/.venv/bin/python -m tests.production.journey_on_a_host
    """


def numbered(lines: list[str]) -> str:
    said = []
    for number, line in enumerate(lines, 1):
        said += [f"printf '%s\\n' {_quoted(f'[{number}/{len(lines)}] {line[:100]}')}", "cd /", line]
    return "\n".join(said)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def main() -> int:
    if os.geteuid() != 0:
        sys.exit("make install-debian needs root, for a file system over this one.")
    told = commands(GUIDE)
    first = next(number for number, line in enumerate(told) if "demo.compose_secrets" in line)
    with_net, alone = told[:first], told[first:]
    # A person types the password, looks at the log for a while, and brings the certificates before they are needed.
    alone = [line.replace("read -rs password", f"password='{VPROTECT_PASSWORD}'") for line in alone]
    alone = [line.replace(" --follow", "") for line in alone]
    with tempfile.TemporaryDirectory(prefix="portal-debian-") as folder:
        whole, inner = Path(folder, "whole.sh"), Path(folder, "inner.sh")
        copy = f"{folder}/copy"
        scripts = f"{copy}/root/scripts"
        whole.write_text(
            f"set -e\nmount -t tmpfs -o size=4g tmpfs {folder}/memory\nmkdir {folder}/memory/up {folder}/memory/work\n"
            f"mount -t overlay overlay -o lowerdir=/,upperdir={folder}/memory/up,workdir={folder}/memory/work {copy}\n"
            f"for place in proc sys dev; do mount --rbind /$place {copy}/$place; done\n"
            f"mount -t tmpfs tmpfs {copy}/run\nmkdir -p {copy}/run/lock {copy}/run/postgresql {scripts}\n"
            f"chown postgres {copy}/run/postgresql\ncp {folder}/*.sh {scripts}\n"
            f"chroot {copy} bash /root/scripts/packages.sh\n"
            f"unshare --net --pid --fork --kill-child chroot {copy} bash /root/scripts/inner.sh\n"
        )
        Path(folder, "packages.sh").write_text(prologue() + numbered(with_net))
        inner.write_text(
            f"export PATH={PATH} HOME=/root LC_ALL=C.UTF-8\nset -e\ntrap journalctl ERR\nmount -t proc proc /proc\n"
            + own_network()
            + numbered(alone)
            + epilogue()
        )
        for name in ("memory", "copy"):
            Path(folder, name).mkdir()
        return subprocess.run(["unshare", "--mount", "bash", str(whole)]).returncode


if __name__ == "__main__":
    sys.exit(main())
