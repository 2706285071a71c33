"""How gunicorn serves web and operator; the command says where and with how many workers.

`kill -HUP` makes new workers that read settings and secrets anew, while the old ones end what they have begun.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from portal import metrics_port

accesslog = "-"
access_log_format = '%(h)s "%(r)s" %(s)s %(b)s %(M)s ms "%(a)s"'
logger_class = "portal.access_log.AccessLogger"
threads = 4
control_socket_disable = True
# What was begun is ended when it is told to stop; a page takes 15 s at most (`statement_timeout`).
graceful_timeout = 30
timeout = 60
# A slow disk must not look like a worker that hangs.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def on_starting(server: Any) -> None:
    metrics_port.begin()


def when_ready(server: Any) -> None:
    metrics_port.serve()
