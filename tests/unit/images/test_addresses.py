"""Images read from their addresses, from a server on this machine."""

import pickle
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import microscope_files as files
from tests.helpers.listeners import Names, listening
from unifmir import web_address
from unifmir.errors import AddressError, ImageError, MissingExtraError
from unifmir.images import open_source, whole_region
from unifmir.web_address import OWN_SERVERS_VARIABLE
from unifmir.zoo.restore.outputs import plan_jobs


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """Address of a server of the folder, on this machine."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_image_is_read_from_its_address(tmp_path: Path, served: str) -> None:
    pytest.importorskip("aiohttp", reason="what fsspec reads addresses with, of an extra")
    files.zarr_image(
        tmp_path / "a.ome.zarr", files.STACK, files.multiscales("zyx", (0.4, 0.1, 0.1))
    )
    (job,) = plan_jobs([f"{served}/a.ome.zarr"], "sr").jobs
    assert job.target == Path("a.sr.ome.zarr")
    source = open_source(job.source)
    assert (source.info.axes, source.info.name) == ("zyx", "a.ome.zarr")
    for opened in (source, pickle.loads(pickle.dumps(source))):
        assert np.array_equal(opened.read(whole_region(opened.shape))[0, 0], files.STACK)
    with pytest.raises(ImageError, match=r"b\.ome\.zarr: the image cannot be read"):
        open_source(Path(f"{served}/b.ome.zarr"))


def test_a_plate_at_an_address_is_refused_and_its_fields_are_read(
    tmp_path: Path, served: str
) -> None:
    pytest.importorskip("aiohttp", reason="what fsspec reads addresses with, of an extra")
    files.plate(tmp_path / "p.ome.zarr", ["B/3", "B/4"], fields=2)
    for place, first in (("p.ome.zarr", "/B/3/0"), ("p.ome.zarr/B/4", "/0")):
        (job,) = plan_jobs([f"{served}/{place}"], "sr").jobs
        with pytest.raises(ImageError, match="is a plate") as refused:
            open_source(job.source)
        assert f"name them one by one ({served}/{place}{first})" in str(refused.value)
    jobs = plan_jobs([f"{served}/p.ome.zarr/B/{well}/1" for well in (3, 4)], "sr").jobs
    assert [job.target for job in jobs] == [Path(f"p.B.{well}.1.sr.ome.zarr") for well in (3, 4)]
    for number, job in zip((1, 3), jobs, strict=True):
        source = open_source(job.source)
        values = source.read(whole_region(source.shape))[0, 0]
        assert np.array_equal(values, files.STACK + np.uint16(number))


def test_what_reads_addresses_is_named_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.implementations.http", None)
    with pytest.raises(MissingExtraError, match=r"https://some.where/a\.zarr needs fsspec"):
        open_source(Path("https://some.where/a.zarr"))


@pytest.mark.parametrize("host", ["example.org", "10.0.0.1", "127.0.0.1.example.org"])
def test_what_is_not_encrypted_is_refused_unless_it_is_named(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    with pytest.raises(AddressError, match=rf"starts with https.*{OWN_SERVERS_VARIABLE}={host}"):
        open_source(Path(f"http://{host}/a.zarr"))
    monkeypatch.setenv(OWN_SERVERS_VARIABLE, f"other, {host}")
    monkeypatch.setitem(sys.modules, "fsspec.implementations.http", None)
    with pytest.raises(MissingExtraError):  # nobody is asked here
        open_source(Path(f"http://{host}/a.zarr"))


def test_a_redirect_is_not_followed(tmp_path: Path, served: str) -> None:
    pytest.importorskip("aiohttp", reason="what fsspec reads addresses with, of an extra")
    files.zarr_image(
        tmp_path / "a.ome.zarr", files.STACK, files.multiscales("zyx", (0.4, 0.1, 0.1))
    )

    class Elsewhere(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"{served}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ImageError):
            open_source(Path(f"http://127.0.0.1:{server.server_port}/a.ome.zarr"))
        server.shutdown()


def test_a_name_that_leads_into_the_own_network_is_refused_unless_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, served: str
) -> None:
    pytest.importorskip("aiohttp", reason="what fsspec reads addresses with, of an extra")
    files.zarr_image(
        tmp_path / "a.ome.zarr", files.STACK, files.multiscales("zyx", (0.4, 0.1, 0.1))
    )
    Names(monkeypatch, {"images.example": ["127.0.0.1"], "both.example": ["8.8.8.8", "10.0.0.1"]})
    with listening("127.0.0.1") as server:
        with pytest.raises(ImageError, match=r"images\.example is a machine of your own.*127"):
            open_source(Path(f"https://images.example:{server.port}/a.ome.zarr"))
        with pytest.raises(ImageError, match=r"both\.example is a machine of your own.*10\.0"):
            open_source(Path("https://both.example/a.ome.zarr"))
    assert server.connections == 0
    monkeypatch.setenv(OWN_SERVERS_VARIABLE, "images.example")
    port = served.rpartition(":")[2]
    source = open_source(Path(f"http://images.example:{port}/a.ome.zarr"))
    assert np.array_equal(source.read(whole_region(source.shape))[0, 0], files.STACK)


def test_a_name_that_stands_for_another_machine_the_next_time_gets_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("aiohttp", reason="what fsspec reads addresses with, of an extra")
    # 127.0.0.2 counts as a server out there.
    monkeypatch.setattr(web_address, "is_inner", lambda number: number == "127.0.0.1")
    names = Names(monkeypatch, {"rebound.example": ["127.0.0.2"]}, later=["127.0.0.1"])
    with listening("127.0.0.2") as outside, listening("127.0.0.1", outside.port) as inside:
        for _ in range(2):
            with pytest.raises(ImageError):
                open_source(Path(f"https://rebound.example:{outside.port}/a.ome.zarr"))
    assert names.asked
    assert outside.connections
    assert inside.connections == 0
