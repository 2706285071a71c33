import os
import socket


def three_free_ports() -> int:
    """The first of three ports in a row that nobody listens on."""
    for port in range(20000 + os.getpid() % 10000, 60000, 3):
        with socket.socket() as one, socket.socket() as two, socket.socket() as three:
            try:
                for number, probe in enumerate((one, two, three)):
                    probe.bind(("127.0.0.1", port + number))
            except OSError:
                continue
            return port
    raise AssertionError("no free ports")
