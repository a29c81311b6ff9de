"""Uploads: a form that is read as it arrives, its image written to the disk piece by piece."""

import time
from asyncio import timeout
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from anyio import to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from unifmir.images.file_names import IMAGE_SUFFIXES, image_suffix
from unifmir.zoo.serve.caller_settings import MAX_BYTES
from unifmir.zoo.serve.refusals import RefusalError

SUFFIXES = tuple(one for one in IMAGE_SUFFIXES if one not in (".zarr", ".ome.zarr"))
"""Ends of names of images that are one file."""
SLOWEST = 20_000.0
"""Bytes a second that an upload brings at the least, on average."""
FORM_BYTES = 100_000
"""Bytes of a form beside its image."""
NAME_LETTERS = 200
FLUSH_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class ReceivedUpload:
    """Parts of a form, the image on the disk."""

    name: str
    """The image's, as the caller calls it: no path."""
    file: str
    """Name of the image in the folder."""
    size_bytes: int
    settings: bytes
    """JSON text."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bounds of an upload."""

    size_bytes: int
    silence_s: float
    """Time in which something must arrive."""


@contextmanager
def _damage_told() -> Iterator[None]:
    """Refuse what the parser takes for no form."""
    try:
        yield
    except FormParserError as error:
        raise RefusalError(400, f"the form is damaged ({error})", "Send it again") from error


class _Form:
    """A form's parts as the parser finds them: the image waits in `pending` to be written."""

    def __init__(self, content_type: str, limit: int) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise RefusalError(
                415,
                "the request is no form",
                "Send multipart/form-data with the parts `image` and `settings`",
            )
        self._limit = limit
        self._field, self._value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._part = b""
        self.name: str | None = None
        self.pending = bytearray()
        self.size_bytes = 0
        self.settings = bytearray()
        self.ended = False
        with _damage_told():
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
            )

    def write(self, piece: bytes) -> None:
        """Read on."""
        with _damage_told():
            self._parser.write(piece)

    def _begin(self) -> None:
        self._headers, self._part = {}, b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field, self._value = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._part = options.get(b"name", b"")
        if self._part == b"image":
            if self.name is not None:
                raise RefusalError(400, "the form has two images", "Send one a job")
            self.name = display_name(options.get(b"filename", b"").decode("utf-8", "replace"))
        elif self._part != b"settings":
            name = self._part.decode("utf-8", "replace")[:80]
            raise RefusalError(
                400, f"the form has a part {name!r}", "Expected are `image` and `settings`"
            )

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part == b"image":
            self.size_bytes += end - start
            if self.size_bytes > self._limit:
                raise too_large(self._limit)
            self.pending += data[start:end]
        else:
            self.settings += data[start:end]
            if len(self.settings) > MAX_BYTES:
                raise RefusalError(413, f"the settings have more than {MAX_BYTES} bytes", "")

    def _end(self) -> None:
        self.ended = True


async def receive(
    pieces: AsyncIterator[bytes],
    content_type: str,
    length: int | None,
    folder: Path,
    limits: UploadLimits,
) -> ReceivedUpload:
    """Write the image of a form into a folder as it arrives.

    Parameters
    ----------
    pieces : async iterator of bytes
        The request's body.
    content_type : str
        The request's header.
    length : int, optional
        Bytes of the body, where the request says it.
    folder : Path
    limits : UploadLimits

    Raises
    ------
    RefusalError
        It is larger or slower than the limits, no form, or without an image or settings.
    """
    if length is not None and length > limits.size_bytes + FORM_BYTES:
        raise too_large(limits.size_bytes)
    form = _Form(content_type, limits.size_bytes)
    received, began = 0, time.monotonic()
    path = folder / "arriving"
    with path.open("xb") as file:
        while (piece := await _next(pieces, limits.silence_s)) is not None:
            received += len(piece)
            if received > limits.size_bytes + FORM_BYTES:
                raise too_large(limits.size_bytes)
            if time.monotonic() - began > limits.silence_s + received / SLOWEST:
                raise _too_slow()
            form.write(piece)
            if len(form.pending) >= FLUSH_BYTES:
                await _flush(form, file)
        await _flush(form, file)
    if not form.ended:
        raise RefusalError(400, "the form ends before its end", "Send it again")
    if form.name is None or not form.size_bytes:
        raise RefusalError(400, "the form has no image", "Send the file as the part `image`")
    suffix = image_suffix(form.name)
    if suffix not in SUFFIXES:
        raise RefusalError(
            415, f"{form.name} is no name of an image", f"Expected are {', '.join(SUFFIXES)}"
        )
    file_name = f"image{suffix}"
    path.rename(folder / file_name)
    return ReceivedUpload(form.name, file_name, form.size_bytes, bytes(form.settings) or b"{}")


async def _next(pieces: AsyncIterator[bytes], silence_s: float) -> bytes | None:
    try:
        async with timeout(silence_s):
            return await anext(pieces, None)
    except TimeoutError:
        raise _too_slow() from None
    except ClientDisconnect:
        raise RefusalError(400, "the upload was broken off", "Send it again") from None


async def _flush(form: _Form, file: IO[bytes]) -> None:
    pending, form.pending = form.pending, bytearray()
    await to_thread.run_sync(file.write, pending)


def too_large(limit: int) -> RefusalError:
    """The refusal of a file that is larger than the server takes."""
    return RefusalError(
        413,
        f"the file has more than the {limit / 1e6:,.0f} MB that this server takes",
        "Cut the image, or run `unifmir restore` on the file",
    )


def _too_slow() -> RefusalError:
    return RefusalError(
        408,
        f"the upload is slower than {SLOWEST / 1000:.0f} kB a second",
        "Try again on a better network",
    )


def display_name(text: str) -> str:
    """The last part of a name that somebody gave, as it may be shown; never a path."""
    last = text.replace("\\", "/").rpartition("/")[2]
    kept = "".join(letter for letter in last if letter.isprintable()).strip(". ")
    # The end says what the file is.
    return kept[-NAME_LETTERS:]
