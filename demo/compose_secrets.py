"""`python -m demo.compose_secrets` makes the secrets that docker-compose.yml wants; those that exist stay."""

from __future__ import annotations

import secrets
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "secrets"

BY_A_PERSON = {
    "vprotect_password": "the password of the service account",
    "tls_certificate": "the certificate of both addresses, with its chain,",
    "tls_key": "its key",
}


def make(folder: Path = FOLDER) -> list[str]:
    """Returns the names of those that it made; those of `BY_A_PERSON` only a person has."""
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    made = [_make(folder, "secret_key", secrets.token_urlsafe(50)), _make(folder, "secret_key_fallbacks", "")]
    made += [_make(folder, f"{who}_password", secrets.token_hex(24)) for who in ("postgres", "redis")]
    for who in ("owner", "web", "operator", "worker"):
        made.append(_make(folder, f"{who}_password", secrets.token_hex(24)))
        password = (folder / f"{who}_password").read_text()
        made.append(_make(folder, f"{who}_database_url", f"postgres://portal_{who}:{password}@postgres/portal"))
    made.append(_make(folder, "redis_url", f"redis://:{(folder / 'redis_password').read_text()}@redis:6379/0"))
    # Most mail servers inside a provider's network ask for none.
    made.append(_make(folder, "email_password", ""))
    return [name for name in made if name]


def _make(folder: Path, name: str, text: str) -> str | None:
    file = folder / name
    if file.exists():
        return None
    file.write_text(text)
    # Containers read it as users of their own; on this machine the folder keeps others out.
    file.chmod(0o644)
    return name


if __name__ == "__main__":
    print(f"Made: {', '.join(make()) or 'nothing, all were there'}.")
    for name, what in BY_A_PERSON.items():
        if not (FOLDER / name).exists():
            print(f"Put {what} into secrets/{name} yourself.")
