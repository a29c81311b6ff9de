"""A stand-in for the process of a job: does what the uploaded file says, without any library.

Each line is one thing: `tiles N`, `sleep SECONDS`, `grow MEGABYTES`, `fail MESSAGE`, `crash`.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path


def _end_with_server() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def _tell(event: str, **facts: object) -> None:
    print(json.dumps({"event": event, **facts}), flush=True)


def main() -> None:
    """Follow the file, and leave a result and a report as the real process does."""
    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_server, daemon=True).start()
    source = Path(order["source"])
    held = b""
    for line in source.read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "tiles":
            _tell("image", axes="yx", shape=[8, 8])
            for done in range(int(rest) + 1):
                _tell("progress", done=done, total=int(rest), seconds_left=None)
        elif word == "sleep":
            time.sleep(float(rest))
        elif word == "grow":
            held += b"x" * (int(rest) * 10**6)
            time.sleep(30)
        elif word == "fail":
            _tell("failed", message=f"{source}: {rest}", memory=False)
            return
        elif word == "crash":
            os.abort()
    Path(order["target"]).write_bytes(b"restored " + source.read_bytes())
    Path(order["report"]).write_text('{"status": "restored"}')
    _tell("done")


if __name__ == "__main__":
    main()
