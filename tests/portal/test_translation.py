"""Everything that a person reads can be translated, and the catalogues in locale/ are in step with the code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages import Catalog
from bs4 import BeautifulSoup, Comment
from django.conf import settings
from django.test import Client
from django.utils import translation
from django.utils.translation import trans_real

from portal.management.commands import messages
from tenants.models import Tenant, User
from tests import landscape

TEMPLATES = sorted((Path(settings.BASE_DIR) / "templates").rglob("*.html"))
# Klingon has no catalogue of Django's: what is not ours stays English.
UNKNOWN = "tlh"
MARKED = re.compile(r"⟦[^⟦⟧]*⟧")
# What is nobody's text: times, sizes, names of things, and what Django translates itself.
DATA = re.compile(
    r"""[\W\d_]+ | [\d.,]+\ (h|min|s|GiB|MiB|%)(\ \d+\ (min|s))? | now | (in\ )?\d+\ \w+(\ ago)?
    | (Mon|Tue|Wed|Thu|Fri|Sat|Sun)\w* | \d*\ ?(January|February|March|April|May|June|July|August|September|October
    |November|December|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\w* | UTC | CEST? | Etc/\S+
    | \S+@\S+ | vm-\S+ | machine\ vm-\S+ | Sunflower | Nightly | Main\ store | KVM | web\S* | Cluster\ 1 | Store
    | hosts | dev | /?sda1 | ext4 | \d+\ bytes | Old | Europe | Warsaw | English | Klingon | CSV | PDF | Backup\ portal
    | https | \S+\.example | portal
    | Email | (Current\ |New\ )?Password(\ \(again)? | Your\ password\ (can’t|must)\ .* | Forgot\ your\ password\?""",
    re.VERBOSE,
)


@pytest.fixture
def marked(tmp_path: Path, settings: Any) -> Iterator[None]:
    """A language in which each text of ours is between brackets, each form of it with its number."""
    catalog = Catalog(locale="en", charset="utf-8")
    for text in messages.texts_of_the_code():
        if isinstance(text.id, tuple):
            catalog.add(text.id, tuple(f"⟦{form}⟧" for form in text.id), context=text.context)
        elif text.id:
            catalog.add(text.id, f"⟦{text.id}⟧", context=text.context)
    folder = tmp_path / UNKNOWN / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "django.mo").write_bytes(messages.compiled(catalog))
    settings.LOCALE_PATHS = [tmp_path]
    settings.LANGUAGES = [("en", "English"), (UNKNOWN, "Klingon")]
    _forget()
    yield
    _forget()


def _forget() -> None:
    trans_real._translations = {}
    trans_real.get_languages.cache_clear()
    translation.activate("en")


def test_no_text_on_a_page_escapes_translation(
    marked: None, sunflower: Tenant, owner: User, as_web: Callable[[User], Client]
):
    browser = as_web(owner)
    escaped = set()
    ids = landscape.fill(sunflower, owner)
    User.objects.filter(pk=owner.pk).update(language=UNKNOWN)
    for name, address in landscape.pages(ids).items():
        answer = browser.get(address, follow=True)
        assert answer.status_code == 200, address
        escaped |= {(name, text) for text in _texts(answer.content) if not _is_translated(text)}
    assert sorted(escaped) == []


def _texts(page: bytes) -> Iterator[str]:
    """What is read on a page, or heard."""
    soup = BeautifulSoup(page, "html.parser")
    # The reference of the API, as its names are.
    for english in soup.select("[lang=en]"):
        english.decompose()
    for hidden in soup(["script", "style", "datalist", "code"]):
        hidden.decompose()
    for text in soup.find_all(string=True):
        if not isinstance(text, Comment) and text.parent.name not in {"[document]", "html"}:
            yield " ".join(text.split())
    for spoken in ("title", "alt", "aria-label", "placeholder", "data-label"):
        yield from (element[spoken] for element in soup.select(f"[{spoken}]"))


def _is_translated(text: str) -> bool:
    while (without := MARKED.sub("", text)) != text:
        text = without
    rest = [part.strip(" ()") for part in re.split("[·,:/–]", text)]
    return all(not part or DATA.fullmatch(part) for part in rest)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_marked_text_of_a_template_is_found(template: Path):
    found = {text.id for text in _catalog()}
    simple = re.findall(r"\{% translate ([\"'])(.*?)\1", template.read_text())
    assert {text for _quote, text in simple} <= found


def _catalog() -> Catalog:
    if not hasattr(_catalog, "kept"):
        _catalog.kept = messages.texts_of_the_code()  # type: ignore[attr-defined]
    return _catalog.kept  # type: ignore[attr-defined,no-any-return]


def test_plurals_and_lazy_texts_of_python_are_found():
    texts = {text.id for text in _catalog()}
    assert ("every hour", "every %(count)d hours") in texts and "Failed" in texts


def test_no_text_hides_in_an_f_string():
    """There the extraction does not look."""
    hidden = re.compile(r"""f["'][^\n]*\{(_|n?p?gettext(_lazy)?)\(""")
    sources = [path for folder in messages.OURS for path in (Path(settings.BASE_DIR) / folder).rglob("*.py")]
    assert [path.name for path in sources if hidden.search(path.read_text())] == []


def test_no_text_hides_behind_a_name_that_the_extraction_does_not_know():
    imported = re.compile(r"\b\w*gettext(?:_lazy)? as (\w+)")
    sources = [path for folder in messages.OURS for path in (Path(settings.BASE_DIR) / folder).rglob("*.py")]
    names = {name for path in sources for name in imported.findall(path.read_text())}
    assert "_now" in names
    assert names <= set(messages.KEYWORDS)


def test_the_catalogues_are_in_step_with_the_code():
    """If this fails: `make messages`, then translate what is new."""
    wanted = {(text.id, text.context) for text in _catalog() if text.id}
    for path in messages.catalogues():
        catalog = messages.read(path)
        assert {(text.id, text.context) for text in catalog if text.id} == wanted, f"{path} is stale: make messages"
        assert [text.id for text in catalog if text.id and not messages.is_translated(text)] == [], path
        assert [(text.id, list(text.check())) for text in catalog if list(text.check())] == [], path
        assert path.with_suffix(".mo").read_bytes() == messages.compiled(catalog), f"{path}: make messages"


def test_a_catalogue_is_begun_kept_and_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(messages, "LOCALE", tmp_path)
    monkeypatch.setattr(messages, "ROOT", tmp_path)
    texts = Catalog(charset="utf-8")
    texts.add("Machines")
    texts.add(("%(n)d plan", "%(n)d plans"))
    monkeypatch.setattr(messages, "texts_of_the_code", lambda: texts)
    command = messages.Command()
    command.handle(languages=["pl"])
    (path,) = messages.catalogues()
    assert "nplurals=3" in path.read_text()
    path.write_text(path.read_text().replace('msgid "Machines"\nmsgstr ""', 'msgid "Machines"\nmsgstr "Maszyny"'))
    texts.add("Plans")
    command.handle(languages=[])
    catalog = messages.read(path)
    assert catalog["Machines"].string == "Maszyny" and catalog["Plans"].string == ""
    assert path.with_suffix(".mo").read_bytes() == messages.compiled(catalog)
