"""Files out of backups in words: what they are, who may do what with them, how a download stands."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from portal.words import WAITING, Chip, readable
from vprotect_bridge.models import Download

FILE_TYPE = {
    "DIRECTORY": Chip("plain", "folder", _("Folder")),
    "REGULAR_FILE": Chip("plain", "file-earmark", _("File")),
    "SYMLINK": Chip("plain", "link-45deg", _("Link")),
    "BROKEN_SYMLINK": Chip("plain", "link-45deg", _("Broken link")),
}
DOWNLOAD = {
    "waiting": WAITING,
    "fetching": Chip("running", "arrow-repeat", _("Being fetched")),
    "ready": Chip("protected", "check-circle", _("Ready")),
    "failed": Chip("failed", "x-circle", _("Failed")),
    "refused": Chip("failed", "slash-circle", _("Refused")),
    "cancelled": Chip("gone", "slash-circle", _("Cancelled")),
    "removed": Chip("gone", "trash", _("Removed")),
}


def download(shown: Download) -> Chip:
    is_over = shown.state == Download.State.READY and not shown.is_there
    return DOWNLOAD[Download.State.REMOVED if is_over else shown.state]


def file_type(name: str) -> Chip:
    return FILE_TYPE.get(name) or Chip("plain", "question-circle", readable(name) or _("Something else"))


_RIGHTS = (("r", 4, _("read")), ("w", 2, _("change")), ("x", 1, _("run or enter")))


def rights(mode: int) -> str:
    """rw-r--r--, as people who know it write it."""
    return "".join(sign if mode >> shift & bit else "-" for shift in (6, 3, 0) for sign, bit, _word in _RIGHTS)


def rights_sentence(mode: int) -> str:
    """The same in words: "Owner: read, change. Group: read. Others: nothing."."""
    parts = []
    for who, shift in ((_("Owner"), 6), (_("Group"), 3), (_("Others"), 0)):
        may = [str(word) for _sign, bit, word in _RIGHTS if mode >> shift & bit]
        parts.append(f"{who}: {', '.join(may) or _('nothing')}.")
    return " ".join(parts)
