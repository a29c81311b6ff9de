"""SHA-256 of files."""

import hashlib
from pathlib import Path

SHA256_PATTERN = "[0-9a-f]{64}"
"""Pattern of a SHA-256 as it is written everywhere."""


def sha256_of(path: Path) -> str:
    """Lower-case hexadecimal SHA-256 of the file at `path`, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
