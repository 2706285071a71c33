"""An OpenID Connect provider on loopback, which checks what a real one checks and says what a test wants it to."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt

from vprotect_simulator.certificates import server_context

CLIENT_ID, CLIENT_SECRET = "portal", "the portal's secret there"


class FakeIdentityProvider:
    """`configuration`, `lies` (claims put into every token), `userinfo`, `somebody` are for tests to change."""

    def __init__(self, folder: Path):
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider._get(self)

            def do_POST(self) -> None:
                provider._token(self)

            def log_message(self, *args: Any) -> None:
                pass

        self.ca_file = folder / "ca.pem"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = server_context(folder, ("localhost",)).wrap_socket(self._server.socket, server_side=True)
        self.issuer = f"https://localhost:{self._server.server_port}"
        self.reset()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def reset(self) -> None:
        self.configuration: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/keys",
        }
        self.lies: dict[str, Any] = {}
        self.somebody: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.asked: list[str] = []
        self.token_answer: Any = None
        self._codes: dict[str, tuple[dict[str, str], dict[str, Any]]] = {}

    def sign_in(self, address: str, **claims: Any) -> str:
        """What somebody does at `address`, to which the portal sent them; the query that they come back with."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert asked["client_id"] == CLIENT_ID and asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked, claims
        return urlencode({"code": code, "state": asked["state"]})

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _get(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        if handler.path.startswith("/authorize?"):
            return self._send_back(handler)
        is_configuration = handler.path == "/.well-known/openid-configuration"
        _answer(handler, 200, self.configuration if is_configuration else self.userinfo)

    def _send_back(self, handler: BaseHTTPRequestHandler) -> None:
        """A browser came: whoever `somebody` says signs in at once."""
        back = parse_qs(urlsplit(handler.path).query)["redirect_uri"][0]
        handler.send_response(302)
        handler.send_header("Location", f"{back}?{self.sign_in(handler.path, **self.somebody)}")
        handler.end_headers()
        return None

    def _token(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        sent = parse_qs(handler.rfile.read(int(handler.headers["Content-Length"])).decode())
        form = {name: values[0] for name, values in sent.items()}
        asked, claims = self._codes.pop(form.get("code", ""), ({}, {}))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        is_theirs = (
            form.get("client_secret") == CLIENT_SECRET
            and form.get("redirect_uri") == asked.get("redirect_uri")
            and base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked.get("code_challenge")
        )
        if not is_theirs:
            return _answer(handler, 400, {"error": "invalid_grant"})
        now = int(time.time())
        frame = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 60, "nonce": asked["nonce"]}
        if self.token_answer is not None:
            return _answer(handler, 200, self.token_answer)
        id_token = jwt.encode({**frame, **claims, **self.lies}, "a key of the provider, which TLS stands for")
        return _answer(handler, 200, {"access_token": "a", "token_type": "Bearer", "id_token": id_token})


def _answer(handler: BaseHTTPRequestHandler, status: int, body: Any) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)
