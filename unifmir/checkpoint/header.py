"""The configuration in the header of our own files, read without torch and without the weights."""

import struct
from pathlib import Path

from unifmir.config import ModelConfig, config_from_dict
from unifmir.plain_text_values import parse_json

MAX_HEADER_BYTES = 100_000_000
"""Limit of the safetensors format."""


def recorded_configuration(path: Path) -> ModelConfig | None:
    """The configuration that a .safetensors file of ours records; None in any other file.

    A hint, for looking at images before a model is loaded: loading checks what it says.
    """
    try:
        with path.open("rb") as file:
            head = file.read(9)
            if len(head) < 9 or head[8:] != b"{":
                return None
            (length,) = struct.unpack("<Q", head[:8])
            if length > min(MAX_HEADER_BYTES, path.stat().st_size):
                return None
            header = parse_json(b"{" + file.read(length - 1), limit=MAX_HEADER_BYTES)
        return config_from_dict(parse_json(header["__metadata__"]["unifmir"])["config"])
    # CheckpointError is a ValueError; the others: values of other types than ours.
    except (OSError, ValueError, KeyError, TypeError):
        return None
