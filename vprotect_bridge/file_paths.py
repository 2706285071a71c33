"""Paths inside a backup: put together from names that vProtect listed, and confined before they go upstream.

No path comes from a browser. A name is asked for only if nobody can read it as leading elsewhere: not a server that
takes a backslash for a slash, nor one that decodes `%2e`. Links are never followed: one can lead to the node's own
files or to another customer's mount.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from vprotect_bridge.client.mounts import DIRECTORY, REGULAR_FILE

LONGEST = 4096
ROOT = "/"
# Stands for what is not UTF-8: vProtect would not find the file again by it.
UNKNOWN = "\ufffd"


class Unsafe(ValueError):
    """Not to be sent."""


def can_be_asked_for(name: str) -> bool:
    """Whether vProtect finds it by its name, and nothing else."""
    decoded = unquote(unquote(name))
    leads_elsewhere = {decoded.strip(), name.strip()} & {"", ".", ".."} or re.search(r"[/\\\0]", decoded + name)
    return not leads_elsewhere and UNKNOWN not in name


def can_be_fetched(name: str, type_: str) -> bool:
    return type_ in {DIRECTORY, REGULAR_FILE} and can_be_asked_for(name)


def joined(folder: str, name: str, *, is_folder: bool) -> str:
    """The path of what lies in a folder; a folder's ends in a slash. Raises `Unsafe`."""
    return checked(f"{folder}{name}{'/' if is_folder else ''}") if can_be_asked_for(name) else _refuse()


def checked(path: str) -> str:
    """The last look before it is sent. Raises `Unsafe`."""
    parts = path.removesuffix("/").split("/")[1:]
    is_plain = path.startswith(ROOT) and len(path.encode()) <= LONGEST
    return path if path == ROOT or (is_plain and parts and all(map(can_be_asked_for, parts))) else _refuse()


def is_below(path: str, folder: str) -> bool:
    """Of paths on the node, where `folder` has no slash at its end."""
    return path == folder or path.startswith(f"{folder}/")


def _refuse() -> str:
    raise Unsafe("a path that leads elsewhere, or that nobody would find")
