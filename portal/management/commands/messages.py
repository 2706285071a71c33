"""The catalogues of translated texts in locale/, kept in step with the code without gettext's programs."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils.translation.template import templatize

ROOT = Path(settings.BASE_DIR)
LOCALE = ROOT / "locale"
OURS = ("api", "portal", "notifications", "reports", "tenants", "tokens", "vprotect_bridge")
# `_now` is where a lazy `_` is beside it.
KEYWORDS = (
    DEFAULT_KEYWORDS
    | {"_now": None, "gettext_noop": None}
    | {f"{name}_lazy": spec for name, spec in DEFAULT_KEYWORDS.items() if name != "_"}
)


class Command(BaseCommand):
    help = "Brings the catalogues up to date: new texts in, gone ones out, compiled. Names of languages begin new ones."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("languages", nargs="*", help="to begin, as de or pl")

    def handle(self, *args: Any, languages: list[str], **options: Any) -> None:
        for language in languages:
            (LOCALE / language / "LC_MESSAGES").mkdir(parents=True, exist_ok=True)
            (LOCALE / language / "LC_MESSAGES" / "django.po").touch()
        texts = texts_of_the_code()
        for path in catalogues():
            catalog = read(path)
            catalog.update(texts, no_fuzzy_matching=True, update_creation_date=False)
            catalog.obsolete.clear()
            catalog.header_comment = (
                "# Texts of the backup portal. `make messages` keeps this file in step with the code."
            )
            path.write_bytes(written(catalog))
            path.with_suffix(".mo").write_bytes(compiled(catalog))
            missing = sum(not is_translated(message) for message in catalog if message.id)
            self.stdout.write(f"{path.relative_to(ROOT)}: {len(catalog)} texts, {missing} untranslated")


def catalogues() -> list[Path]:
    return sorted(LOCALE.glob("*/LC_MESSAGES/django.po"))


def texts_of_the_code() -> Catalog:
    """Every text that is marked for translation, in Python and in templates, with the files that say it."""
    catalog = Catalog(project="Backup portal", charset="utf-8")
    for path in _sources():
        source = path.read_text()
        if path.suffix != ".py":
            source = _as_python(templatize(source, origin=str(path)))
        for _line, message, comments, context in extract("python", BytesIO(source.encode()), KEYWORDS):
            # Without line numbers, which would change with every commit.
            catalog.add(message, locations=[(str(path.relative_to(ROOT)), 0)], auto_comments=comments, context=context)
    return catalog


def _sources() -> Iterator[Path]:
    for folder in OURS:
        yield from sorted(path for path in (ROOT / folder).rglob("*.py") if "migrations" not in path.parts)
    yield from sorted(path for path in (ROOT / "templates").rglob("*") if path.suffix in {".html", ".txt"})


def _as_python(templatized: str) -> str:
    """Django blanks a template's other text out with letters; what is left of its layout would be no Python."""
    return re.sub(r"^[ \t]+", "", templatized, flags=re.MULTILINE)


def read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.parent.name)


def written(catalog: Catalog) -> bytes:
    file = BytesIO()
    write_po(file, catalog, width=120, sort_by_file=True, ignore_obsolete=True, include_lineno=False)
    return file.getvalue()


def compiled(catalog: Catalog) -> bytes:
    file = BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def is_translated(message: Any) -> bool:
    texts = message.string if isinstance(message.string, (tuple, list)) else [message.string]
    return all(texts) and not message.fuzzy
