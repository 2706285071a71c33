"""gunicorn's access log, without the links that came by mail."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from tenants.logs import without_secrets


class AccessLogger(Logger):
    def atoms(self, *args: Any) -> dict[str, Any]:
        atoms: dict[str, Any] = super().atoms(*args)
        return {name: without_secrets(atom) if isinstance(atom, str) else atom for name, atom in atoms.items()}
