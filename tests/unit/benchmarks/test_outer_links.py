"""Addresses of the documents: which there are, and when one counts as gone."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from unifmir.benchmarks.studies.outer_links import fault_of, outer_links

TEXT = """[zoo](https://bioimage.io/#/models) at https://lab.test/a_b. Here: http://127.0.0.1:8000,
`pip install --index-url https://lab.test/whl/cpu`, https://example.org/data,
![inside](pictures/a.png);
https://.../image.ome.zarr; again [zoo](https://bioimage.io/#about)
"""


class Answers(BaseHTTPRequestHandler):
    """Answers with the status that the path names."""

    def do_GET(self) -> None:
        self.send_response(int(self.path[1:]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_addresses_are_found_once_and_without_what_the_sentence_adds():
    expected = ["https://bioimage.io/", "https://lab.test/a_b", "https://lab.test/whl/cpu"]
    assert outer_links(TEXT) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, (False, "")), (403, (False, "403 Forbidden")), (404, (True, "404 Not Found"))],
)
def test_an_address_is_gone_if_its_server_says_so(address, status, expected):
    assert fault_of(f"{address}/{status}") == expected


def test_an_address_is_gone_if_nobody_answers(address):
    gone, told = fault_of(f"{address.rpartition(':')[0]}:1/")
    assert gone
    assert "refused" in told
