"""What the portal is called and how it is coloured: by the installation's settings, or for a tenant by its brand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

from tenants import logos
from tenants.models import Accent, Brand, Tenant

# As in static/css/tokens.css, by day; for mails, which have no stylesheet.
COLOUR_OF_MAILS = {
    **{Accent.TEAL: "#005f5f", Accent.OCEAN: "#025884", Accent.INDIGO: "#3144ae", Accent.VIOLET: "#6331a0"},
    **{Accent.PLUM: "#84266c", Accent.BRONZE: "#764607", Accent.FOREST: "#236228", Accent.GRAPHITE: "#4a5459"},
}


@dataclass(frozen=True)
class Look:
    """`logo`: the digest in its address, "" = none; `logo_of_tenant` says whose it is. `support`: a link, or ""."""

    name: str
    accent: str
    logo: str
    logo_of_tenant: bool
    support: str

    @property
    def colour(self) -> str:
        return COLOUR_OF_MAILS[Accent(self.accent)]


def look_of(tenant: Tenant | None) -> Look:
    """What its brand leaves open is the installation's."""
    brand: Brand | None = getattr(tenant, "brand", None)
    if brand is None:
        brand = Brand()
    return Look(
        name=brand.name or settings.PORTAL_NAME,
        accent=brand.accent or settings.PORTAL_ACCENT,
        logo=brand.logo_digest or installation_logo()[1],
        logo_of_tenant=bool(brand.logo_digest),
        support=_link(brand.support_url, brand.support_email) or _link(settings.SUPPORT_URL, settings.SUPPORT_EMAIL),
    )


def _link(url: str, email: str) -> str:
    return url or (f"mailto:{email}" if email else "")


@cache
def installation_logo() -> tuple[bytes, str]:
    """The picture and its digest; empty where none is set. Read once: another file takes a restart."""
    if not settings.PORTAL_LOGO_FILE:
        return b"", ""
    with Path(settings.PORTAL_LOGO_FILE).open("rb") as file:
        logo = logos.drawn_anew(file)
    return logo, logos.digest(logo)
