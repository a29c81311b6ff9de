"""Which machine a result comes from."""

import platform
from pathlib import Path


def processor() -> str:
    """The processor's model name, as the system gives it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
