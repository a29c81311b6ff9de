"""Ask for every address in README and docs, and say which lead nowhere.

    python -m benchmarks.studies.outer_links

asks each server once. The exit code is 1 if an address is gone (404, 410) or its server is not
found. Servers that refuse programs or are out of order are named, and count as there.
"""

import re
import sys
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tests.helpers.document_blocks import documents
from unifmir.version import __version__

TIMEOUT_S = 30.0
GONE = (404, 410)
# A full stop or a comma after it is the sentence's.
_ADDRESS = re.compile(r"https?://[^\s<>()\[\]`\"']*[\w/#=]")
_NOWHERE = (None, "localhost", "127.0.0.1", "example.org", "...")
"""Hosts of this machine, and those that stand for one of the reader's."""


def outer_links(text: str) -> list[str]:
    """Addresses in Markdown that lead to other machines, each once and without its part."""
    found = (address.partition("#")[0] for address in _ADDRESS.findall(text))
    return sorted({one for one in found if urlsplit(one).hostname not in _NOWHERE})


def fault_of(address: str) -> tuple[bool, str]:
    """Whether an address is gone, and what was answered; empty if it is there."""
    request = Request(address, headers={"User-Agent": f"unifmir/{__version__} (links)"})
    try:
        with urlopen(request, timeout=TIMEOUT_S):
            return False, ""
    except HTTPError as error:
        return error.code in GONE, f"{error.code} {error.reason}"
    except (OSError, HTTPException) as error:
        return True, str(error)


def main() -> int:
    """Ask for all addresses."""
    places: dict[str, list[str]] = {}
    for document in documents():
        for address in outer_links(document.read_text("utf-8")):
            places.setdefault(address, []).append(document.name)
    gone = 0
    for address, names in places.items():
        is_gone, told = fault_of(address)
        gone += is_gone
        if told:
            print(f"{'GONE ' if is_gone else 'there'} {address} ({', '.join(names)}): {told}")
    doubt = ": is there a network?" if gone == len(places) else ""
    print(f"{len(places)} addresses, {gone} gone{doubt}")
    return int(gone > 0)


if __name__ == "__main__":
    sys.exit(main())
