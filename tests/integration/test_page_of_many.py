"""The web page where more than one image and one user are at it, and the server ends in between."""

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from tests.helpers import browser as web
from tests.helpers.serve_command import ServeCommand, serving
from unifmir.tasks import TASKS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.slow,  # a browser, servers, and a process a job
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("page"),
]
PASSWORD = "fünf rote Äpfel 5"
"""One that no header could hold as it is."""


@pytest.fixture
def visit(browser: "Browser") -> Iterator[Any]:
    """Opens a page, in a session of its own or in that of another page."""
    contexts = []

    def opened(server: ServeCommand, beside: "Page | None" = None) -> "Page":
        if beside is None:
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            context.set_default_timeout(2 * web.WAIT_MS)
            contexts.append(context)
        else:
            context = beside.context
        page = context.new_page()
        page.goto(server.address)
        return page

    yield opened
    for context in contexts:
        context.close()


def image(path: Path, *shape: int) -> Path:
    """A noisy image."""
    values = np.random.default_rng(len(shape)).integers(100, 900, shape).astype(np.uint16)
    axes = "ZYX"[-len(shape) :]
    tifffile.imwrite(path, values, imagej=True, metadata={"axes": axes})
    return path


def jobs(page: "Page") -> list[dict[str, Any]]:
    """The jobs that the page's session sees, the newest first."""
    found: list[dict[str, Any]] = page.evaluate("fetch('api/jobs').then((answer) => answer.json())")
    return found


def listed(page: "Page") -> list[str]:
    """Names under `Earlier images`."""
    page.locator(".jobs summary").click()
    names: list[str] = page.locator(".jobs .choice b").all_inner_texts()
    return names


def chosen(page: "Page", task: str, tile: int) -> None:
    """Choose a task, and the tiles' side under `More settings`."""
    page.locator(f"input[value={task}]").check()
    page.locator("details.options summary").click()
    row = page.locator("label.row").filter(has=page.get_by_text("Tiles", exact=True))
    row.locator("select").select_option(str(tile))


def free_port() -> int:
    """A port that nobody listens at."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


def test_two_users_take_turns_and_see_their_own_images_alone(visit, tmp_path):
    with serving(tmp_path / "folder", "--jobs", "1") as server:
        first = visit(server)
        mine = [first, visit(server, beside=first), visit(server, beside=first)]
        other = visit(server)
        for number, page in enumerate(mine):
            web.opened(page, image(tmp_path / f"mine{number}.tif", 40, 48))
            web.asked(page)
            page.wait_for_selector(".progress")
            page.wait_for_function(
                f"async () => (await (await fetch('api/jobs')).json()).length == {number + 1}"
            )
        web.opened(other, image(tmp_path / "theirs.tif", 40, 48))
        web.restored(other)
        for page in mine:
            page.wait_for_selector(".outcome")
        (theirs,) = jobs(other)
        ours = jobs(first)
        assert [job["input"]["name"] for job in ours] == ["mine2.tif", "mine1.tif", "mine0.tif"]
        assert {job["state"] for job in (theirs, *ours)} == {"done"}
        # One user's third image waited for the other's first, although it came before.
        assert ours[2]["finished"] < theirs["finished"] < ours[0]["finished"]
        assert listed(other) == ["theirs.tif"]
        assert sorted(listed(first)) == ["mine0.tif", "mine1.tif", "mine2.tif"]
        for part in ("", "/input", "/result", "/report", "/events"):
            path = f"api/jobs/{ours[0]['id']}{part}"
            fetched = "(path) => fetch(path).then((answer) => answer.status)"
            assert (first.evaluate(fetched, path), other.evaluate(fetched, path)) == (200, 404)


def test_one_image_that_needs_too_much_memory_fails_alone(visit, tmp_path):
    with serving(tmp_path / "folder", "--jobs", "2", "--memory", "350") as server:
        greedy, modest = visit(server), visit(server)
        # One strip of 160 MB, of a file of few: more than PyTorch leaves of the memory.
        large = tmp_path / "large.tif"
        values = np.zeros((9000, 9000), np.uint16)
        tifffile.imwrite(large, values, compression="zlib", rowsperstrip=9000, metadata=None)
        web.opened(greedy, large)
        web.asked(greedy)
        web.opened(modest, image(tmp_path / "small.tif", 40, 48))
        web.restored(modest)
        told = greedy.get_by_role("alert").inner_text()
        assert "must be decoded at once" in told
        assert "save it in smaller strips" in told
        # The server lives, and the user can go on.
        greedy.get_by_role("button", name="Restore", exact=True).wait_for()
        assert [job["state"] for job in (*jobs(greedy), *jobs(modest))] == ["failed", "done"]


def test_an_image_goes_on_after_the_server_was_killed(visit, tmp_path):
    source, port = image(tmp_path / "image.tif", 3, 320, 320), free_port()
    with serving(tmp_path / "folder", "--jobs", "1", port=port) as server:
        page = visit(server)
        web.opened(page, source)
        chosen(page, "denoise", 64)
        web.asked(page)
        progress = page.locator(".progress")
        progress.get_by_text("tiles").wait_for()
        assert server.ended(signal.SIGKILL) == -signal.SIGKILL
        progress.get_by_text("The server does not answer").wait_for()
    with serving(tmp_path / "folder", "--jobs", "1", port=port):
        page.wait_for_selector(".outcome")
        restored = web.downloaded(page, tmp_path / "page.tif")
        (job,) = jobs(page)
        report = page.evaluate(
            "(id) => fetch(`api/jobs/${id}/report`).then((answer) => answer.json())", job["id"]
        )
    own = tmp_path / "own.tif"
    command = [sys.executable, "-m", "unifmir", "restore", str(source), "--out", str(own)]
    subprocess.run([*command, "--task", "denoise", "--tile", "64"], check=True)
    assert restored == own.read_bytes()
    assert report["tiles_resumed"] < report["tiles"]


def test_the_page_asks_for_the_password_and_goes_on_when_it_is_right(visit, tmp_path):
    told = {"UNIFMIR_SERVE_PASSWORD": PASSWORD}
    with serving(tmp_path / "folder", "--jobs", "1", "--auth", env=told) as server:
        page = visit(server)
        dialog = page.get_by_role("dialog", name="Sign in")
        dialog.wait_for()
        assert page.locator(".welcome").count() == 0
        password = dialog.get_by_label("Password")
        password.fill("another password")
        password.press("Enter")
        assert "This is not the password" in dialog.get_by_role("alert").inner_text()
        assert web.serious_findings(page) == []
        password.fill(PASSWORD)
        dialog.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name=TASKS["sr"].title).click()
        page.wait_for_selector(".contrast")
        web.restored(page)
        web.downloaded(page, tmp_path / "page.tif")
        assert tifffile.imread(tmp_path / "page.tif").ndim == len(TASKS["sr"].output_axes)
        page.reload()
        page.wait_for_selector(".welcome button:enabled")
        assert not dialog.is_visible()
        assert page.evaluate("document.cookie") == ""
        # Another session has not signed in.
        visit(server).get_by_role("dialog", name="Sign in").wait_for()
