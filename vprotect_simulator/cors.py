"""Calls from pages of other servers: what a browser asks for before and reads after (the Fetch standard)."""

from __future__ import annotations

from email.message import Message

EXPOSED = "X-Total-Count, Content-Disposition"
METHODS = "GET, POST, PUT, DELETE"


class Cors:
    """For pages of these origins only; with none, no page of another server gets in."""

    def __init__(self, origins: tuple[str, ...], *, tls: bool) -> None:
        """Raises `ValueError` for what is no origin: with credentials, browsers want it named exactly."""
        for origin in origins:
            scheme, gap, rest = origin.partition("://")
            if scheme not in {"http", "https"} or not gap or not rest or "/" in rest or "*" in rest:
                raise ValueError(f"{origin!r} is no origin: write it like https://ui.example.test:3000")
        self._origins = origins
        self._cookie = ("; Secure" if tls else "") + ("; SameSite=None" if tls and origins else "")

    def headers(self, request: Message) -> dict[str, str]:
        """What goes with every answer."""
        if not self._origins:
            return {}
        if request.get("Origin") not in self._origins:
            return {"Vary": "Origin"}
        return {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": request["Origin"],
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": EXPOSED,
        }

    def preflight(self, request: Message) -> dict[str, str]:
        """The answer to OPTIONS, beside `headers`."""
        if request.get("Origin") not in self._origins:
            return {}
        wanted = request.get("Access-Control-Request-Headers", "")
        allowed = {"Access-Control-Allow-Headers": wanted} if wanted else {}
        return {"Access-Control-Allow-Methods": METHODS, "Access-Control-Max-Age": "600", **allowed}

    def cookie(self, cookie: str) -> str:
        """A cookie that the browser sends back: over plain HTTP it must not ask for HTTPS."""
        return cookie + self._cookie
