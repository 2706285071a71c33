import os
import socket

_reservations: list[socket.socket] = []


def three_free_ports() -> int:
    """The first of three ports in a row that nobody listens on, and that no other process was given by this.

    What was given is not listened on at once: until this process ends, a name that only one may bind holds it.
    """
    begin = 20000 + os.getpid() % 3000 * 3
    for port in (*range(begin, 29000, 3), *range(20000, begin, 3)):
        reservation = socket.socket(socket.AF_UNIX)
        with socket.socket() as one, socket.socket() as two, socket.socket() as three:
            try:
                reservation.bind(f"\0portal-demo-port-{port}")
                for number, probe in enumerate((one, two, three)):
                    probe.bind(("127.0.0.1", port + number))
            except OSError:
                reservation.close()
                continue
            _reservations.append(reservation)
            return port
    raise AssertionError("no free ports")
