"""How a folder is shown: sorted, searched and paged by the database, whatever its size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from django.db.models import Case, F, Value, When
from django.db.models.functions import Lower
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from vprotect_bridge import file_paths
from vprotect_bridge.file_paths import DIRECTORY
from vprotect_bridge.models import FileEntry, Folder

PAGE_SIZE = 100
LONGEST_SEARCH = 100
COLUMNS: dict[str, tuple[Any, Any]] = {
    "name": (_("Name"), Lower("name")),
    "size": (_("Size"), F("size")),
    "modified": (_("Changed"), F("modified_at")),
    "owner": (_("Owner"), Lower("owner")),
}
# Folders before files, as people are used to.
_FOLDERS_FIRST = Case(When(type=DIRECTORY, then=Value(0)), default=Value(1))


@dataclass(frozen=True)
class FolderQuery:
    """What the address says; anything odd in it falls back, so that a link always opens. `sort` "-size": downwards."""

    q: str = ""
    sort: str = "name"
    page: int = 1

    @classmethod
    def read(cls, given: QueryDict) -> Self:
        text = given.get("q", "")[:LONGEST_SEARCH].replace("\0", "")
        text = text.encode("utf-8", "ignore").decode()
        sort = given.get("sort", "name")
        page = given.get("page", "1")[:6]
        return cls(
            text,
            sort if sort.removeprefix("-") in COLUMNS else "name",
            max(int(page), 1) if page.isascii() and page.isdigit() else 1,
        )

    @property
    def address(self) -> str:
        changed = QueryDict(mutable=True)
        for name, value, usual in (("q", self.q, ""), ("sort", self.sort, "name"), ("page", self.page, 1)):
            if value != usual:
                changed[name] = str(value)
        return f"?{changed.urlencode()}"

    @property
    def columns(self) -> list[dict[str, Any]]:
        """Each with the address that sorts by it, the other way round where it is sorted by already."""
        shown = []
        for name, (label, _column) in COLUMNS.items():
            is_up, is_down = self.sort == name, self.sort == f"-{name}"
            sort = f"-{name}" if is_up else name
            direction = "ascending" if is_up else "descending" if is_down else ""
            shown.append(
                {
                    "name": name,
                    "label": label,
                    "direction": direction,
                    "address": replace(self, sort=sort, page=1).address,
                }
            )
        return shown


def page_of(folder: Folder, query: FolderQuery) -> dict[str, Any]:
    entries = FileEntry.objects.filter(folder=folder)
    if query.q:
        entries = entries.filter(name__icontains=query.q)
    total = entries.count() if query.q else folder.count
    last = max(-(-total // PAGE_SIZE), 1)
    page = min(query.page, last)
    column = COLUMNS[query.sort.removeprefix("-")][1]
    order = column.desc(nulls_last=True) if query.sort.startswith("-") else column.asc(nulls_last=True)
    rows = entries.order_by(_FOLDERS_FIRST, order, Lower("name"), "id")[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    return {
        "entries": [_shown(entry) for entry in rows],
        "total": total,
        "first": (page - 1) * PAGE_SIZE + 1,
        "last": min(page * PAGE_SIZE, total),
        "previous": replace(query, page=page - 1).address if page > 1 else "",
        "next": replace(query, page=page + 1).address if page < last else "",
    }


def _shown(entry: FileEntry) -> FileEntry:
    """With `can_fetch`, and of its name `is_readable` (it can be asked for) and `is_unknown_name` (not UTF-8)."""
    entry.is_unknown_name = file_paths.UNKNOWN in entry.name  # type: ignore[attr-defined]
    entry.is_readable = file_paths.can_be_asked_for(entry.name)  # type: ignore[attr-defined]
    entry.can_fetch = file_paths.can_be_fetched(entry.name, entry.type)  # type: ignore[attr-defined]
    return entry
