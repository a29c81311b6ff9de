"""Signing in: the password of a server, and the cookie that stands for it from then on."""

import base64
import binascii
import hashlib
import hmac
import secrets
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response

from unifmir.atomic import writing

COOKIE = "unifmir-signed-in"
COOKIE_RULES = f"HttpOnly; SameSite=Strict; Path=/; Max-Age={30 * 24 * 3600}"
KEY_FILE = "sign-in.key"
SESSION = "unifmir.session"
"""Entry of a request's scope: SHA-256 of its session's token."""

router = APIRouter(prefix="/api", tags=["sign-in"])


class Password:
    """The password of a server, and which requests have it.

    A session that sent it once has a cookie, which is made of the password, of a key that lies in
    the server's folder, and of the session: it counts for that session alone, also after a new
    start with the same password, and tells nothing of the password to who sees it.

    Parameters
    ----------
    password : str
    folder : Path
        The server's private folder.
    """

    def __init__(self, password: str, folder: Path) -> None:
        self._password = password.encode()
        self._key = hmac.digest(_key(folder), self._password, "sha256")

    def cookie(self, session: str) -> str:
        """Value of the cookie of a session."""
        return hmac.new(self._key, session.encode(), hashlib.sha256).hexdigest()

    def is_in(self, headers: Headers, session: str) -> bool:
        """Whether a request has the password, or its session the cookie."""
        if "authorization" in headers:
            return self._is_told(headers["authorization"])
        given = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return hmac.compare_digest(given.encode(), self.cookie(session).encode())

    def _is_told(self, authorization: str) -> bool:
        kind, _, value = authorization.partition(" ")
        # As it was sent: the server's library takes bytes of headers for Latin-1.
        told = value.encode("latin-1")
        if kind.lower() == "basic":
            try:
                told = base64.b64decode(value, validate=True).partition(b":")[2]
            except (binascii.Error, ValueError):
                return False
        elif kind.lower() != "bearer":
            return False
        return hmac.compare_digest(told, self._password)


@router.post("/sign-in", status_code=204)
async def sign_in(request: Request) -> Response:
    """Keep that this session has sent the password: it need not send it again."""
    answer = Response(status_code=204)
    password: Password | None = request.app.state.password
    if password is not None:
        value = password.cookie(request.scope[SESSION])
        answer.headers["set-cookie"] = f"{COOKIE}={value}; {COOKIE_RULES}"
    return answer


def _key(folder: Path) -> bytes:
    path = folder / KEY_FILE
    if not path.exists():
        with writing(path, private=True) as aside:
            aside.write_bytes(secrets.token_bytes(32))
    return path.read_bytes()
