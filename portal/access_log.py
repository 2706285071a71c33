"""gunicorn's logs: as the product's own are written, with each request's correlation id and without secrets.

Reads the environment itself and not the settings, which belong to gunicorn's children: those read them anew when they
are told to reload.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from portal import environment
from tenants.correlation import CorrelationFilter, correlation_id
from tenants.logs import JSONFormatter, LineFormatter, one_line


class AccessLogger(Logger):
    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.setFormatter(_formatter())
            handler.addFilter(CorrelationFilter())

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        if not self.access_log_enabled:
            return
        atoms = self.atoms(resp, req, environ, request_time)
        token = correlation_id.set(atoms.get("{x-correlation-id}o", "-"))
        try:
            about = {
                "address": atoms["h"],
                "method": atoms["m"],
                "path": one_line(str(atoms["U"])),
                "status": int(atoms["s"]) if str(atoms["s"]).isdigit() else atoms["s"],
                "milliseconds": round(request_time.total_seconds() * 1000),
                "bytes": atoms["B"],
            }
            line = self.cfg.access_log_format % self.atoms_wrapper_class(atoms)
            self.access_log.info("%s", line, extra={"about": about})
        except Exception:
            self.exception("a request could not be logged")
        finally:
            correlation_id.reset(token)


def _formatter() -> logging.Formatter:
    if environment.text("LOG_FORMAT", "line") == "json":
        return JSONFormatter(process=environment.text("PORTAL_PROCESS", "web"))
    return LineFormatter()
