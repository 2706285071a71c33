"""What a page weighs on the wire, compressed: for people on slow lines, and for tabs that are left open."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from django.contrib.staticfiles import finders
from django.test import Client
from django.utils import timezone

from tenants.models import Tenant, User
from tests import landscape
from tests.conftest import machine_of, operation_on
from vprotect_bridge.models import Machine, Operation, UpstreamStatus

KB = 1000
SPRITE = "vendor/bootstrap-icons-1.13.2/sprite.svg"

Browser = Callable[[User], Client]


@pytest.fixture
def pages(sunflower: Tenant, owner: User) -> dict[str, str]:
    """With a full page of machines."""
    ids = landscape.fill(sunflower, owner)
    for number in range(50):
        machine_of(sunflower, f"one-of-many-{number}")
    return landscape.pages(ids)


def compressed(content: bytes) -> int:
    return len(gzip.compress(content, 6))


def weight_of_files(page: bytes) -> int:
    """Of all that the page's head asks for, and its icons; a logo of the tenant's own is the tenant's affair."""
    soup = BeautifulSoup(page, "html.parser")
    names = [tag["href"] for tag in soup.select('link[rel="stylesheet"], link[rel="icon"]')]
    names += [tag["src"] for tag in soup.select('script[src], .brand img[src^="/static/"]')]
    names += [f"/static/{SPRITE}"] if soup.select("svg use") else []
    total = 0
    for name in names:
        path = finders.find(str(name).removeprefix("/static/"))
        assert isinstance(path, str), name
        total += compressed(Path(path).read_bytes())
    return total


def test_the_first_page_is_light(pages: dict[str, str], client: Client, owner: User, as_web: Browser):
    for address, browser in ((pages["machines"], as_web(owner)), ("/accounts/login/", client)):
        page = browser.get(address).content
        assert compressed(page) + weight_of_files(page) < 100 * KB, address


def test_the_overview_with_its_charts_is_light(pages: dict[str, str], owner: User, as_web: Browser):
    page = as_web(owner).get(pages["tenant-home"]).content
    assert compressed(page) + weight_of_files(page) < 180 * KB


def test_the_html_of_every_page_is_light(pages: dict[str, str], owner: User, as_web: Browser):
    browser = as_web(owner)
    weights = {name: compressed(browser.get(address, follow=True).content) for name, address in pages.items()}
    assert {name: weight for name, weight in weights.items() if weight > 25 * KB} == {}


def test_a_poll_is_nothing_or_little(sunflower: Tenant, pages: dict[str, str], owner: User, as_web: Browser):
    operation = Operation.across_tenants.filter(tenant=sunflower, outcome="").latest("created_at")
    browser = as_web(owner)
    page = browser.get(f"/t/sunflower/operations/{operation.pk}/").content
    part = BeautifulSoup(page, "html.parser").select_one(f"#operation-{operation.pk}")
    assert part
    unchanged = browser.get(part["hx-get"], headers={"HX-Request": "true"})
    assert (unchanged.status_code, unchanged.content) == (204, b"")
    Operation.across_tenants.filter(pk=operation.pk).update(progress=operation.progress + 1)
    changed = browser.get(part["hx-get"], headers={"HX-Request": "true"})
    assert changed.status_code == 200 and compressed(changed.content) < 2 * KB


def test_a_poll_of_a_full_list_brings_what_changed(sunflower: Tenant, owner: User, as_web: Browser):
    UpstreamStatus.objects.update(inventory_at=timezone.now())
    for number in range(30):
        machine = machine_of(sunflower, f"web-server-{number:02}")
        Machine.across_tenants.filter(pk=machine.pk).update(last_success_at=timezone.now(), last_full_size=number)
        operation_on(machine, submission="accepted", phase="exporting", progress=number, created_by=owner)
    browser = as_web(owner)
    for address, part in (("operations", "#activity"), ("machines", "#machine-list")):
        page = BeautifulSoup(browser.get(f"/t/sunflower/{address}/").content, "html.parser").select_one(part)
        assert page and len(page.select("tbody tr")) == 25
        poll = page["hx-get"]
        assert browser.get(poll, headers={"HX-Request": "true"}).status_code == 204
        shown = page.select_one("tbody tr .machine-name")
        assert shown
        name = shown.text.rpartition(" ")[2]
        Operation.across_tenants.filter(machine__name__endswith=name).update(progress=99)
        changed = browser.get(poll, headers={"HX-Request": "true"})
        assert "99 %" in changed.content.decode()
        assert compressed(changed.content) < 2 * KB, address


def test_pages_leave_compressed(owner: User, as_web: Browser):
    page = as_web(owner).get("/t/sunflower/machines/", headers={"Accept-Encoding": "gzip"})
    assert page["Content-Encoding"] == "gzip" and b"</html>" in gzip.decompress(page.content)
