"""A server of `unifmir serve` in this process, whose jobs are stand-ins, and what asks it."""

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn

from tests.helpers import job_stand_in
from unifmir.zoo.serve import job_runner
from unifmir.zoo.serve.server_options import ServerOptions
from unifmir.zoo.serve.web_app import create_app


class Caller(requests.Session):
    """One session of a server, as a browser or a program has it."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.trust_env = False
        self.address = address

    def request(self, method: str, url: str, *given: Any, **named: Any) -> requests.Response:  # type: ignore[override]
        """Ask for a path of the server."""
        return super().request(method, self.address + url, *given, **{"timeout": 60, **named})

    def restore(self, image: bytes, name: str = "a.tif", **settings: Any) -> requests.Response:
        """Give an image."""
        told = json.dumps({"task": "sr", **settings})
        files: dict[str, tuple[str | None, str | bytes]] = {
            "image": (name, image),
            "settings": (None, told),
        }
        return self.post("/api/restore", files=files)

    def given(self, image: bytes, name: str = "a.tif", **settings: Any) -> str:
        """Give an image that is taken; the job's id."""
        answer = self.restore(image, name, **settings)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, name: str) -> dict[str, Any]:
        """A job."""
        answer = self.get(f"/api/jobs/{name}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def waited(self, name: str, *states: str, seconds: float = 60.0) -> dict[str, Any]:
        """A job once it is in one of these states; else in any that ends it."""
        wanted = states or ("done", "failed", "cancelled")
        end = time.monotonic() + seconds
        while (found := self.job(name))["state"] not in wanted:
            assert time.monotonic() < end, found
            time.sleep(0.02)
        return found

    def told(self, name: str) -> list[dict[str, Any]]:
        """All events of a job, up to its end."""
        with self.get(f"/api/jobs/{name}/events", stream=True, timeout=600) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = [line.decode() for line in answer.iter_lines()]
        assert {line for line in lines if line.startswith("event")} == {"event: job"}
        return [json.loads(line[5:]) for line in lines if line.startswith("data:")]


@contextmanager
def running(
    folder: Path,
    patch: pytest.MonkeyPatch,
    *,
    page: Path | None = None,
    command: tuple[str, ...] = (sys.executable, "-I", job_stand_in.__file__),
    **options: Any,
) -> Iterator[str]:
    """The address of a server whose jobs run this command; it has ended afterwards."""
    patch.setattr(job_runner, "COMMAND", command)
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(ServerOptions(folder, **options), page=page)
    config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
