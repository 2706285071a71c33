"""The portal in a provider's or a tenant's own name, logo and colour; what is uploaded is never what is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.conf import settings as product
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image

from tenants import brands, logos
from tenants.admin.brands import BrandForm
from tenants.models import Accent, Brand, Tenant, User

Browser = Callable[[User | None], Client]


def picture(size: tuple[int, int] = (800, 200), kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    Image.new("RGB", size, "#a33").save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def brand(sunflower: Tenant) -> Brand:
    logo = logos.drawn_anew(BytesIO(picture()))
    named = {"name": "Sun Backups", "accent": Accent.PLUM, "support_url": "https://help.sun.example/"}
    return Brand.across_tenants.create(tenant=sunflower, logo=logo, logo_digest=logos.digest(logo), **named)


def test_a_tenants_people_see_its_name_logo_colour_and_support(brand: Brand, owner: User, as_web: Browser):
    browser = as_web(owner)
    soup = BeautifulSoup(browser.get("/t/sunflower/machines/").content, "html.parser")
    assert soup.html and soup.html["data-accent"] == "plum"
    assert soup.select_one(".brand").get_text(strip=True) == "Sun Backups"
    assert soup.select_one('.foot a[href="https://help.sun.example/"]')
    logo = browser.get(soup.select_one(".brand img")["src"])
    assert (logo["Content-Type"], logo["Cache-Control"]) == ("image/png", "private, max-age=31536000, immutable")
    assert Image.open(BytesIO(logo.content)).size == (384, 96)


def test_no_other_tenant_learns_of_a_logo(brand: Brand, stranger: User, as_web: Browser):
    for slug in ("sunflower", "pine"):
        assert as_web(stranger).get(f"/t/{slug}/logo/{brand.logo_digest}.png").status_code == 404


def test_without_a_brand_it_looks_as_the_installation_does(owner: User, as_web: Browser, settings: Any):
    settings.PORTAL_NAME, settings.PORTAL_ACCENT, settings.SUPPORT_EMAIL = "Acme Backup", "forest", "help@acme.example"
    page = as_web(owner).get("/t/sunflower/machines/").content.decode()
    assert "Acme Backup" in page and 'data-accent="forest"' in page and "mailto:help@acme.example" in page


@pytest.fixture
def fresh_logo() -> Iterator[None]:
    brands.installation_logo.cache_clear()
    yield
    brands.installation_logo.cache_clear()


def test_the_installations_logo_is_shown_before_signing_in(
    fresh_logo: None, tmp_path: Path, settings: Any, client: Client, db: None
):
    (tmp_path / "logo.jpg").write_bytes(picture(kind="JPEG"))
    settings.PORTAL_LOGO_FILE = str(tmp_path / "logo.jpg")
    soup = BeautifulSoup(client.get("/accounts/login/").content, "html.parser")
    assert client.get(soup.select_one(".brand img")["src"])["Content-Type"] == "image/png"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_what_is_kept_holds_nothing_but_the_picture(kind: str):
    told = {"comment": b"<script>alert(1)</script>"} if kind in {"JPEG", "GIF"} else {}
    upload = picture(kind=kind, **told) + b"<script>alert(2)</script>"
    drawn = logos.drawn_anew(BytesIO(upload))
    assert b"script" in upload and b"script" not in drawn and drawn.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "upload",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"GIF89a" + b"\0" * 20,
        b"",
        picture()[:200],
        picture() + b"\0" * logos.MOST_BYTES,
        picture((3000, 3000)),
        picture(kind="BMP"),
    ],
    ids=["SVG", "a torn GIF", "nothing", "half a PNG", "too many bytes", "too many pixels", "BMP"],
)
def test_what_is_no_small_picture_is_refused(upload: bytes):
    with pytest.raises(ValidationError):
        logos.drawn_anew(BytesIO(upload))


def test_an_operator_gives_a_logo_and_takes_it_away(sunflower: Tenant):
    brand = Brand(tenant=sunflower)
    form = BrandForm({"accent": "ocean"}, {"logo_file": SimpleUploadedFile("logo.png", picture())}, instance=brand)
    assert form.is_valid() and form.save().logo_digest
    assert not BrandForm({"support_url": "javascript:alert(1)"}, instance=brand).is_valid()
    assert not BrandForm({}, {"logo_file": SimpleUploadedFile("x.png", b"no picture")}, instance=brand).is_valid()
    form = BrandForm({"without_logo": "on"}, instance=brand)
    assert form.is_valid() and not form.save().logo_digest
    assert Brand.across_tenants.get().logo is None


def test_the_accents_are_the_same_everywhere():
    tokens = (Path(product.BASE_DIR) / "static" / "css" / "tokens.css").read_text()
    by_day = dict(re.findall(r'data-accent="(\w+)"\] { --accent: light-dark\((#\w+)', tokens))
    assert by_day == {accent.value: colour for accent, colour in brands.COLOUR_OF_MAILS.items()}
    assert set(by_day) == set(Accent.values) == set(product.ACCENTS)
