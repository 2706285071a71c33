"""`python -m demo.screenshots`: a picture of every page, light, dark and on a phone, from a demo of its own.

Pictures land in build/screenshots; the few that README.md shows are put into docs/screenshots as well.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from PIL import Image
from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
OUT, SHOWN, FOLDER = ROOT / "build" / "screenshots", ROOT / "docs" / "screenshots", ROOT / "build" / "screenshots-demo"
PORT = int(os.environ.get("PORT", "8700"))
PORTAL, OPERATOR, VPROTECT = (
    f"{kind}://localhost:{PORT + number}" for number, kind in enumerate(("http", "http", "https"))
)
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
FLAGS += ["--disable-quic", "--no-first-run"]
ADMIN, VIEWER, BOTH = "admin@aurora-books.example", "viewer@aurora-books.example", "two-tenants@demo.example"
TENANT = "/t/aurora-books/"
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 860}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 860}},
    "phone": {"color_scheme": "light", "viewport": {"width": 360, "height": 740}, "has_touch": True},
}
# What README.md shows: by the picture's name and look.
IN_README = {("overview", "light"), ("operation-running", "dark"), ("machines", "phone")}

BEFORE_SIGNING_IN = {
    "sign-in": "/accounts/login/",
    "password-reset": "/accounts/password/reset/",
    "password-reset-sent": "/accounts/password/reset/done/",
    "password-link-over": "/accounts/password/reset/key/1-x/",
    "account-off": "/accounts/inactive/",
    "accounts-are-given": "/accounts/signup/",
    "single-sign-on": "/accounts/sso/",
    "invitation-over": "/invitation/",
}
OF_THE_TENANT = {
    "overview": "",
    "machines": "machines/",
    "machines-nothing-fits": "machines/?q=nothing+like+this",
    "machines-not-protected": "machines/?status=unprotected",
    "plans": "plans/",
    "plan-new": "plans/new/",
    "activity": "operations/",
    "members": "members/",
    "member-invite": "members/invite/",
    "settings": "settings/",
    "audit": "audit/",
    "alerts": "alerts/",
    "notifications": "notifications/",
    "notification-settings": "settings/notifications/",
    "webhook-new": "settings/webhooks/new/",
    "report-protection": "reports/",
    "report-usage": "reports/usage/",
    "report-calendar": "reports/calendar/",
    "report-mails": "reports/mail/",
    "report-files": "reports/files/",
    "tokens": "tokens/",
    "token-new": "tokens/new/",
    "tokens-of-all": "settings/tokens/",
    "status": "status/",
    "not-found": "nowhere/",
}
OF_THE_PERSON = {
    "preferences": "/accounts/preferences/",
    "notification-preferences": "/accounts/notifications/",
    "password": "/accounts/password/change/",
    "second-factor": "/accounts/2fa/",
    "sessions": "/accounts/sessions/",
    "api": "/api/v1/docs",
    "sign-out": "/accounts/logout/",
}
OF_OPERATORS = {
    "operator-start": "/",
    "operator-search": "/search/?q=shop",
    "operator-drift": "/vprotect_bridge/machine/drift/",
    "operator-tenants": "/tenants/tenant/",
    "operator-tenant": "/tenants/tenant/1/change/",
    "operator-claims": "/tenants/claim/paste/",
    "operator-machines": "/vprotect_bridge/machine/",
    "operator-operations": "/vprotect_bridge/operation/",
    "operator-audit": "/tenants/auditentry/",
    "operator-limits": "/tenants/tenant/limits/",
    "operator-alerts": "/vprotect_bridge/alert/",
    "operator-mails": "/notifications/mail/",
    "operator-prices": "/reports/price/",
    "operator-usage": "/reports/chargebacksize/",
}


@dataclass
class Camera:
    browser: Browser
    password: str
    look: str

    @contextmanager
    def person(self, email: str = "", base: str = PORTAL) -> Iterator[Page]:
        """A browser of their own; nobody's without an address."""
        context = self.browser.new_context(base_url=base, reduced_motion="reduce", **LOOKS[self.look])
        page = context.new_page()
        if email:
            page.goto("/accounts/login/")
            page.locator("#id_login").fill(email)
            page.locator("#id_password").fill(self.password)
            page.locator("#id_password").press("Enter")
            page.wait_for_url(lambda url: "/accounts/login" not in url)
        yield page
        context.close()

    def take(self, page: Page, name: str, address: str = "") -> None:
        if address:
            page.goto(address)
        page.wait_for_timeout(300)
        size = LOOKS[self.look]["viewport"]
        # As high as the page, so that what sticks to the screen's foot is at the page's.
        height = page.evaluate("() => document.documentElement.scrollHeight")
        page.set_viewport_size({"width": size["width"], "height": max(size["height"], min(height, 4000))})
        page.wait_for_timeout(100)
        page.screenshot(path=OUT / f"{name}.{self.look}.png")
        page.set_viewport_size(size)
        if (name, self.look) in IN_README:
            _put_into_readme(name, self.look, size)


def _put_into_readme(name: str, look: str, size: dict[str, int]) -> None:
    """The first screenful, in few colours: small enough to be kept in git."""
    with Image.open(OUT / f"{name}.{look}.png") as picture:
        first = picture.convert("RGB").crop((0, 0, picture.width, min(picture.height, size["height"])))
        first.quantize(128, dither=Image.Dither.NONE).save(SHOWN / f"{name}.png", optimize=True)


def of_all(camera: Camera) -> None:
    with camera.person() as page:
        for name, address in BEFORE_SIGNING_IN.items():
            camera.take(page, name, address)
        page.goto("/accounts/login/")
        page.locator("#id_login").fill("nobody@aurora-books.example")
        page.locator("#id_password").fill("not the password")
        page.locator("#id_password").press("Enter")
        page.wait_for_selector(".error-summary")
        camera.take(page, "sign-in-refused")
    with camera.person(BOTH) as page:
        camera.take(page, "choose-an-organisation", "/")
    with camera.person(VIEWER) as page:
        camera.take(page, "machine-of-a-viewer", _first(page, "machines/", "a.machine-name", at=2))
        camera.take(page, "not-allowed", f"{TENANT}settings/")
    with camera.person(ADMIN) as page:
        _of_an_administrator(camera, page)
    with camera.person("operator@demo.example", OPERATOR) as page:
        for name, address in OF_OPERATORS.items():
            camera.take(page, name, address)


def _of_an_administrator(camera: Camera, page: Page) -> None:
    for name, address in OF_THE_TENANT.items():
        camera.take(page, name, TENANT + address)
    for name, address in OF_THE_PERSON.items():
        camera.take(page, name, address)
    page.goto("/accounts/preferences/")
    page.get_by_label("Time zone").fill("Mars/Olympus")
    page.get_by_label("Time zone").press("Enter")
    camera.take(page, "preferences-refused")
    # Each look backs up a machine of its own, so that each finds one to back up.
    machine = _first(page, "machines/?status=protected", "a.machine-name", at=2 + list(LOOKS).index(camera.look))
    for name, part in {"machine": "", "backup": "backup/", "restore": "restore/"}.items():
        camera.take(page, name, machine + part)
    page.goto(f"{machine}backup/")
    page.locator("main form .btn-primary").click()
    page.wait_for_url("**/operations/**")
    with suppress(TimeoutError):
        page.wait_for_selector(".operation .chip-running", timeout=20_000)
    camera.take(page, "operation-running")
    for name, (listed, link) in {
        "plan": ("plans/", "main td a"),
        "member-change": ("members/", "td a[href*='/members/']"),
        "member-remove": ("members/", "td a[href$='/remove/']"),
    }.items():
        camera.take(page, name, _first(page, listed, link))
    page.goto(f"{TENANT}plans/")
    page.locator("details.menu summary").last.click()
    camera.take(page, "menu")
    page.goto(f"{TENANT}machines/?status=protected")
    for tick in page.locator("input[name=machines]").all()[:3]:
        tick.check()
    page.get_by_role("button", name="Back up", exact=True).click()
    camera.take(page, "bulk-backup")
    _single_files(camera, page, machine)


def _single_files(camera: Camera, page: Page, machine: str) -> None:
    """The first look opens a backup, the others find it open."""
    camera.take(page, "files-choose", f"{machine}files/")
    is_open = page.locator("a.machine-name")
    page.goto(f"{TENANT}files/")
    if not is_open.count():
        page.goto(f"{machine}files/")
        page.get_by_role("button", name="Open this backup").click()
        page.wait_for_url("**/operations/**")
        page.wait_for_selector("main a[href*='/files/']", timeout=90_000)
        page.goto(f"{TENANT}files/")
    camera.take(page, "files")
    camera.take(page, "files-open", str(is_open.first.get_attribute("href")))
    page.locator("a.choice").first.click()
    page.wait_for_selector(".file-name", timeout=60_000)
    camera.take(page, "files-folder")


def _first(page: Page, listed: str, link: str, at: int = 0) -> str:
    """The address of the first link of that kind on that page, or of a later one."""
    page.goto(TENANT + listed)
    links = page.locator(link)
    return str(links.nth(min(at, links.count() - 1)).get_attribute("href"))


def while_vprotect_is_away(camera: Camera) -> None:
    with camera.person(ADMIN) as page:
        for name in ("overview", "machines"):
            camera.take(page, f"{name}-vprotect-away", TENANT + OF_THE_TENANT[name])


@contextmanager
def demo() -> Iterator[str]:
    """A demo of its own while the pictures are taken. Gives everybody's password."""
    environment = os.environ | {"PORT": str(PORT), "DEMO_FOLDER": str(FOLDER)}
    process = subprocess.Popen(
        [sys.executable, "-m", "demo"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        password = ""
        for line in process.stdout or ():
            if said := re.search(r"Everybody's password: (\S+)", line):
                password = said[1]
            if line.startswith("Logs:"):
                break
        if not password:
            raise SystemExit("The demo did not start; it says why above.")
        yield password
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def away(is_away: bool) -> None:
    context = ssl.create_default_context(cafile=str(FOLDER / "simulator" / "ca.pem"))
    order = json.dumps({"kind": "reset", "times": 0}).encode() if is_away else None
    request = Request(f"{VPROTECT}/control/faults", order, method="POST" if is_away else "DELETE")  # noqa: S310 — loopback
    urlopen(request, context=context).close()  # noqa: S310 — loopback


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("Chromium takes the pictures: apt-get install chromium")
    for folder in (OUT, SHOWN):
        folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with demo() as password, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        cameras = [Camera(browser, password, look) for look in LOOKS]
        for camera in cameras:
            of_all(camera)
        away(True)
        time.sleep(45)
        for camera in cameras:
            while_vprotect_is_away(camera)
        away(False)
        browser.close()
    count = len(list(OUT.glob("*.png")))
    print(f"{count} pictures in {OUT.relative_to(ROOT)}, after {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    main()
