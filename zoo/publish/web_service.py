"""A server that is asked in JSON: with a token, again where that is harmless, told in our words."""

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from unifmir.errors import ZooError
from unifmir.plain_text_values import parse_json
from unifmir.web_address import checked_address, names_inner
from unifmir.zoo.catalogue.connection import Answer, answer, exchange
from unifmir.zoo.catalogue.connection_errors import Interrupted
from unifmir.zoo.catalogue.transfer import ATTEMPTS, again_if_interrupted
from unifmir.zoo.publish.access_token import Token

logger = logging.getLogger(__name__)

ANSWER_S = 60.0
"""Time that a call, or a piece of an upload, may take."""
MAX_ANSWER_BYTES = 8_000_000
"""Limit of an answer: a listing of a collection has about 1,000,000."""
STORED_TRIES = 3
"""Times a file is sent whose stored bytes are others."""
GO_ON = "What was done is recorded: run the same command again, and it goes on from there"
_MOST_TOLD = 500
"""Characters of a server's own words that are told."""


class WebService:
    """One server and the token for it.

    Parameters
    ----------
    title : str
        Name for people.
    address : str
        Start of all its addresses.
    token : Token, optional
    renewal : str
        What to do where the token is refused.
    """

    def __init__(self, title: str, address: str, token: Token | None, renewal: str) -> None:
        self.title = title
        self.address = checked_address(address).rstrip("/")
        self._token = token
        self._renewal = renewal

    def ask(self, method: str, path: str, values: Mapping[str, Any] | None = None) -> Any:
        """Ask for something that may be asked twice, until there is an answer.

        Raises
        ------
        ZooError
            The server refuses, or cannot be had.
        """
        try:
            return again_if_interrupted(path, lambda: self.ask_once(method, path, values))
        except Interrupted as interruption:
            raise self.unreachable(interruption) from None

    def ask_once(self, method: str, path: str, values: Mapping[str, Any] | None = None) -> Any:
        """Ask once.

        Returns
        -------
        JSON values

        Raises
        ------
        Interrupted
            It may have been done or not.
        ZooError
            The server refuses: nothing was done.
        """
        headers = {"Accept": "application/json"}
        body = b""
        if values is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(values, allow_nan=False).encode()
        return self._sent(method, f"{self.address}{path}", {**headers, **self._key()}, body)

    def put_file(
        self, url: Any, content: bytes, headers: Mapping[str, str], *, with_token: bool = False
    ) -> Any:
        """Send a file to an address that the server named, until it is taken.

        Parameters
        ----------
        url : str
        content : bytes
        headers : mapping of str
        with_token : bool
            Send the token too: the address must then be one of this server's.

        Returns
        -------
        JSON values, or None where the answer is none

        Raises
        ------
        ZooError
        """
        place = self.checked_place(url)
        key = self._key_for(place) if with_token else {}
        try:
            return again_if_interrupted(
                self.title,
                lambda: self._sent("PUT", place, {**headers, **key}, content, is_json=with_token),
            )
        except Interrupted as interruption:
            raise self.unreachable(interruption) from None

    def sha256_at(self, url: Any, most: int) -> tuple[str, int]:
        """Hash and size of what lies at an address that the server named.

        Parameters
        ----------
        url : str
        most : int
            Bytes that it may have; of more, the hash and size of those that were read.

        Raises
        ------
        ZooError
        """
        place = self.checked_place(url)
        try:
            return again_if_interrupted(self.title, lambda: self._digest(place, most))
        except Interrupted as interruption:
            raise self.unreachable(interruption) from None
        except ZooError as error:  # an address that is good no more
            raise ZooError(f"{error}. {GO_ON}") from error

    def checked_place(self, url: Any) -> str:
        """An address that the server named, if files are sent to such ones."""
        if not isinstance(url, str):
            raise ZooError(f"{self.title} named no address for a file: {str(url)[:80]!r}")
        place = checked_address(url, redirected_from=self.address)
        if names_inner(place) and not (names_inner(self.address) or "localhost" in self.address):
            raise ZooError(f"{self.title} names {place}, a machine of your own network: refused")
        return place

    def unreachable(self, interruption: Interrupted) -> ZooError:
        """The error of a server that cannot be had."""
        return ZooError(f"{self.title} ({self.address}): {interruption}, {ATTEMPTS} times. {GO_ON}")

    def _key(self) -> dict[str, str]:
        return self._token.header() if self._token is not None else {}

    def _key_for(self, place: str) -> dict[str, str]:
        """The token, if the address is one of the server that it is for."""
        if urlsplit(place)[:2] != urlsplit(self.address)[:2]:
            raise ZooError(
                f"{self.title} names {place} for a file, which is another server: the token is not "
                "sent there"
            )
        return self._key()

    def _digest(self, url: str, most: int) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with answer(url, {"Accept": "*/*"}, named_by=self.address) as found:
            for piece in found.pieces():
                digest.update(piece)
                size += len(piece)
                if size > most:
                    break
        return digest.hexdigest(), size

    def _sent(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        is_json: bool = True,
    ) -> Any:
        with exchange(
            method, url, dict(headers), body, wait_s=ANSWER_S, named_by=self.address
        ) as found:
            content = _content(found)
        if found.status >= 300 or found.status < 200:
            self._refuse(method, url, found, content)
        if not is_json:
            return None
        try:
            return parse_json(content, limit=MAX_ANSWER_BYTES) if content else None
        except ValueError as error:
            logger.debug("%s: %s", self.title, error)
            raise Interrupted("the answer was no JSON, or was cut") from None

    def _refuse(self, method: str, url: str, found: Answer, content: bytes) -> None:
        said = self._said(content)
        what = f"{method} {urlsplit(url).path}"
        if found.status == 429 or found.status >= 500 or found.status == 408:
            raise Interrupted(f"{what} was answered with {found.status}{said}")
        if found.status in (401, 403):
            raise ZooError(
                f"{self.title} refuses {what} ({found.status}){said}: the token has expired, or "
                f"lacks that right. {self._renewal}; then run the same command again, and it goes "
                "on from there"
            )
        raise ZooError(f"{self.title} refuses {what} ({found.status}){said}")

    def _said(self, content: bytes) -> str:
        """A server's own words for why it refuses, without the token."""
        text = content[:4096].decode("utf-8", "replace").strip()
        try:
            values = parse_json(content, limit=MAX_ANSWER_BYTES)
            text = str(values.get("detail") or values.get("message") or text)
            if errors := values.get("errors"):
                text = f"{text} {errors}"
        except (ValueError, AttributeError):
            pass
        if self._token is not None:
            text = self._token.left_out(text)
        return f": {' '.join(text.split())[:_MOST_TOLD]}" if text else ""


def _content(found: Answer) -> bytes:
    content = bytearray()
    for piece in found.pieces():
        content += piece
        if len(content) > MAX_ANSWER_BYTES:
            raise ZooError(f"{found.url} answered with more than {MAX_ANSWER_BYTES} bytes: refused")
    return bytes(content)
