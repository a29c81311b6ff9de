"""Tokens: from the environment or a login, sent to their server, and told to nobody else."""

import os
import re

from unifmir.errors import ZooError
from unifmir.shown_text import HIDDEN

_PRINTABLE = re.compile(r"[\x21-\x7e]{8,8192}")


class Token:
    """A secret that shows itself nowhere but in the header it was made for."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str, source: str) -> None:
        """Take a secret; ZooError, which does not tell it, if no header can carry it."""
        secret = secret.strip()
        if not _PRINTABLE.fullmatch(secret):
            raise ZooError(
                f"{source} holds no token: expected 8 to 8192 letters without spaces; copy it anew"
            )
        self._secret = secret

    def __repr__(self) -> str:
        return f"Token({HIDDEN})"

    def __reduce__(self) -> str:
        raise TypeError("a token is not copied into files")

    def header(self) -> dict[str, str]:
        """The header that lets in."""
        return {"Authorization": f"Bearer {self._secret}"}

    def secret(self) -> str:
        """The secret, for a library that makes the header itself."""
        return self._secret

    def left_out(self, text: str) -> str:
        """Text of a server, which may repeat what it was sent, without the secret."""
        return text.replace(self._secret, HIDDEN)


def token_in(variable: str) -> Token | None:
    """The token that an environment variable holds; None where it holds nothing."""
    secret = os.environ.get(variable, "").strip()
    return Token(secret, f"the environment variable {variable}") if secret else None
