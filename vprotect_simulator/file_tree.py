"""What lies inside a simulated machine: the same tree for the same machine's name, also what is odd in real ones.

Names are bytes, as on a Linux disk; the server shows them as Java reads them, with U+FFFD for what is not UTF-8, and
does not find such a file again by that text. Contents are made while they are read, so that five gigabytes lie nowhere.
"""

from __future__ import annotations

import hashlib
import posixpath
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

DIRECTORY, REGULAR, LINK, BROKEN = "DIRECTORY", "REGULAR_FILE", "SYMLINK", "BROKEN_SYMLINK"
GIB = 1024**3
MANY = 100_000
BLOCK = 1 << 16
SPRING_2024 = 1_711_000_000_000
MOST_LINKS = 20
# What a path or a link that leads out of the file system finds on the node: nobody may ever be shown it.
OF_THE_NODE = "the node's own secret, which is no customer's"


@dataclass(frozen=True)
class File:
    """`inside` tells what a directory holds, `target` where a link leads, `text` a small file's content."""

    raw: bytes
    kind: str = REGULAR
    size: int = 0
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    modified: int = SPRING_2024
    target: str = ""
    text: str = ""
    inside: Callable[[], tuple[File, ...]] = tuple

    @property
    def name(self) -> str:
        return self.raw.decode("utf-8", "replace")

    @property
    def permissions(self) -> list[str]:
        rights = [f"{who}_{what}" for who in ("OWNER", "GROUP", "OTHERS") for what in ("READ", "WRITE", "EXECUTE")]
        return [right for place, right in enumerate(rights) if self.mode & (0o400 >> place)]

    def pieces(self, start: int = 0) -> Iterator[bytes]:
        """Its content from this byte on."""
        if self.text:
            yield self.text.encode()[start:]
            return
        line = hashlib.sha256(self.raw).hexdigest().encode() + b"\n"
        block = line * (BLOCK // len(line))
        while start < self.size:
            begin = start % len(block)
            piece = block[begin : begin + self.size - start]
            yield piece
            start += len(piece)


@dataclass(frozen=True)
class FileSystem:
    volume: str
    type: str
    label: str
    size: int
    root: File


@lru_cache(maxsize=64)
def file_systems(machine: str) -> tuple[FileSystem, ...]:
    """Of a machine by its name: system, data, and the one that starts it."""
    data = _directory("", *(_data(number, machine) for number in range(1, 4)), _directory("lost+found", mode=0o700))
    efi = _directory("", _directory("EFI", _directory("BOOT", _file("BOOTX64.EFI", size=1_200_000))))
    return (
        FileSystem("/dev/sda2", "ext4", "root", 20 * GIB, _system(machine)),
        FileSystem("/dev/sdb1", "xfs", "data", 200 * GIB, data),
        FileSystem("/dev/sda1", "vfat", "", 512 * 1024**2, efi),
    )


def find(file_system: FileSystem, mount_path: str, path: str) -> File | None:
    """As the node's operating system finds it: `..` and links are followed, also to where they should not lead."""
    return _find(file_system, mount_path, posixpath.normpath(f"{mount_path}/{path}"), MOST_LINKS)


def _find(file_system: FileSystem, mount_path: str, absolute: str, links_left: int) -> File | None:
    if absolute != mount_path and not absolute.startswith(f"{mount_path}/"):
        return _text(posixpath.basename(absolute), OF_THE_NODE) if absolute.startswith("/etc/") else None
    here, walked = file_system.root, mount_path
    for part in filter(None, absolute.removeprefix(mount_path).split("/")):
        child = next((child for child in here.inside() if child.raw == part.encode("utf-8", "replace")), None)
        if child is None:
            return None
        if child.kind == LINK and links_left:
            rest = absolute.removeprefix(f"{walked}/{part}")
            leads_to = posixpath.normpath(posixpath.join(walked, child.target) + rest)
            return _find(file_system, mount_path, leads_to, links_left - 1)
        here, walked = child, f"{walked}/{part}"
    return here


# ── The tree ─────────────────────────────────────────────────────────────────


def _file(name: str | bytes, size: int = 4096, **members: object) -> File:
    return File(name.encode() if isinstance(name, str) else name, size=size, **members)  # type: ignore[arg-type]


def _text(name: str, text: str, **members: object) -> File:
    return _file(name, size=len(text.encode()), text=text, **members)


def _directory(name: str, *inside: File, mode: int = 0o755, owner: str = "root") -> File:
    return File(name.encode(), DIRECTORY, 4096, mode, owner, owner, inside=lambda: inside)


def _link(name: str, target: str, kind: str = LINK) -> File:
    return _file(name, size=len(target), kind=kind, target=target, mode=0o777)


def _system(machine: str) -> File:
    chance = random.Random(machine)  # noqa: S311
    person = chance.choice(("anna", "jan", "maria", "otto"))
    return _directory(
        "",
        _link("bin", "usr/bin"),
        _directory("usr", _directory("bin", *(_file(name, 90_000, mode=0o755) for name in ("bash", "ls", "tar")))),
        _directory(
            "etc",
            _text("hostname", f"{machine}\n"),
            _text("hosts", f"127.0.0.1 localhost\n10.0.{chance.randint(0, 9)}.{chance.randint(2, 250)} {machine}\n"),
            _text("os-release", 'NAME="Rocky Linux"\nVERSION="9.4"\n'),
            _text("shadow", "root:!locked::0:99999:7:::\n", mode=0o000),
            _directory("ssh", _text("sshd_config", "PermitRootLogin no\nPasswordAuthentication no\n", mode=0o600)),
            _directory("cron.d", _file("empty", 0)),
        ),
        _directory("home", _home(person, chance)),
        _directory("srv", _directory("odd", _odd_names(), _links(), _sizes(), mode=0o750)),
        _directory(
            "var", _directory("log", *(_file(f"syslog.{day}", chance.randint(1, 90) * 10_000) for day in range(9)))
        ),
    )


def _home(person: str, chance: random.Random) -> File:
    invoices = [
        _file(f"Rechnung {year}-{month:02d}.pdf", chance.randint(40, 900) * 1000, owner=person, modified=SPRING_2024)
        for year in (2023, 2024)
        for month in range(1, 13)
    ]
    reports = _directory("Berichte", *invoices, owner=person)
    return _directory(person, reports, _text("notes.txt", "Call the bank.\n", owner=person), owner=person, mode=0o700)


def _data(number: int, machine: str) -> File:
    chance = random.Random(f"{machine}/{number}")  # noqa: S311
    parts = [_file(f"part-{part:03d}.bin", chance.randint(1, 64) * 1024**2, owner="app") for part in range(12)]
    return _directory(f"volume-{number}", *parts, owner="app")


def _sizes() -> File:
    return _directory(
        "sizes",
        _file("empty.txt", 0),
        _file("five-gigabytes.img", 5 * GIB),
        File(b"many", DIRECTORY, inside=lambda: _many(MANY)),
    )


@lru_cache(maxsize=1)
def _many(count: int) -> tuple[File, ...]:
    return tuple(_file(f"record-{n:06d}.csv", n % 9000, modified=SPRING_2024 + n * 1000) for n in range(1, count + 1))


def _links() -> File:
    return _directory(
        "links",
        _link("to-hosts", "/etc/hosts"),
        _link("to-the-node", "/etc/shadow"),
        _link("up-and-out", "../../../../../../../etc/shadow"),
        _link("to-a-folder", "../sizes"),
        _link("loop", "loop"),
        _link("broken", "nowhere.txt", BROKEN),
    )


def _odd_names() -> File:
    names: tuple[str | bytes, ...] = (
        "quoted \"twice\" and 'once'.txt",
        "two\nlines.txt",
        "<img src=x onerror=alert(1)>.html",
        "\u202egnp.exe",
        "zero\u200bwidth.txt",
        "日本語のファイル.txt",
        "ملف.txt",
        "smile 😀.txt",
        b"caf\xe9 latin-1.txt",
        b"caf\xe8 latin-1.txt",
        b"\xff\xfe\x80",
        "x" * 255,
        "back\\slash.txt",
        "%2e%2e",
        "..%2fescape",
        "...",
        " space around ",
        "-rf",
        "=HYPERLINK(1)",
        "con.txt",
    )
    return _directory("names", *(_file(name, 100 + place) for place, name in enumerate(names)))
