"""Servers on this machine that only count who connects, and names that stand for them."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass
class Listener:
    """A server that takes connections, reads what comes and closes them."""

    port: int
    connections: int = 0
    received: bytes = b""


@contextlib.contextmanager
def listening(number: str, port: int = 0) -> Iterator[Listener]:
    """A listener at a number of this machine."""
    with socket.create_server((number, port)) as server:
        found = Listener(server.getsockname()[1])
        server.settimeout(0.05)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError), server.accept()[0] as opened:
                    found.connections += 1
                    opened.settimeout(0.3)
                    with contextlib.suppress(OSError):
                        found.received += opened.recv(4096)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            over.set()
            thread.join()


class Names:
    """A resolver that knows these names, and asks the system for others.

    Parameters
    ----------
    numbers : dict
        Numbers of each name.
    later : list of str, optional
        Numbers that every name has from the second time on.
    """

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        numbers: dict[str, list[str]],
        *,
        later: list[str] | None = None,
    ) -> None:
        self.asked: list[str] = []
        system = socket.getaddrinfo

        def resolve(host: Any, port: Any, *more: Any, **named: Any) -> Any:
            if host not in numbers:
                return system(host, port, *more, **named)
            given = later if later is not None and host in self.asked else numbers[host]
            self.asked.append(host)
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (number, int(port or 0)))
                for number in given
            ]

        patch.setattr(socket, "getaddrinfo", resolve)
