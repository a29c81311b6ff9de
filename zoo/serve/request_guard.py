"""Who may ask: hosts, origins, the password, and the session that a browser belongs to."""

import asyncio
import hashlib
import re
import secrets
import socket
from collections.abc import MutableMapping
from ipaddress import ip_address
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unifmir.zoo.serve.page_rules import PAGE_RULES
from unifmir.zoo.serve.refusals import refused
from unifmir.zoo.serve.server_options import ServerOptions
from unifmir.zoo.serve.sign_in import COOKIE_RULES, SESSION, Password

COOKIE = "unifmir-session"
CSP = f"{PAGE_RULES}; frame-ancestors 'none'"
"""Rules for what the page may load and do: all of it from here, and nothing may frame it."""
HEADERS = {
    "content-security-policy": CSP,
    # Threads of WebAssembly need the page isolated from others.
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}
BASIC = 'Basic realm="unifmir", charset="UTF-8"'
WRONG_PASSWORD_S = 1.0
"""Time that an answer to a wrong password takes."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_SAFE = ("GET", "HEAD", "OPTIONS")


class RequestGuard:
    """Looks at every request before the application does.

    Parameters
    ----------
    app : ASGI application
    options : ServerOptions
    password : Password, optional
        What all of the API asks for. The page itself, which is the same for everybody, does not.
    """

    def __init__(self, app: ASGIApp, options: ServerOptions, password: Password | None) -> None:
        self._app, self._password = app, password
        self._names = {"localhost", options.host, socket.gethostname(), socket.getfqdn()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        token = _token(headers)
        fresh = token is None and headers.get("sec-fetch-site") in (None, "same-origin", "none")
        token = token or secrets.token_urlsafe(32)
        scope[SESSION] = hashlib.sha256(token.encode()).hexdigest()
        private = scope["path"].startswith("/api/")
        answer = _answering(send, token if fresh else None, private=private)
        if not self._knows(headers.get("host", "")):
            await refused(
                421,
                f"this server is not called {headers.get('host', '')[:80]!r}",
                "Call it by its address or the machine's own name",
            )(scope, receive, answer)
        elif scope["method"] not in _SAFE and not _same_origin(headers):
            await refused(403, "the request comes from another site", "Use this server's own page")(
                scope, receive, answer
            )
        elif (
            private
            and self._password is not None
            and not self._password.is_in(headers, scope[SESSION])
        ):
            if "authorization" in headers:
                await asyncio.sleep(WRONG_PASSWORD_S)
            # The page asks by itself; for what a browser opens otherwise, the browser does.
            by_browser = headers.get("sec-fetch-mode", "navigate") == "navigate"
            await refused(
                401,
                "this server asks for a password",
                "Send it as `Authorization: Bearer PASSWORD`, or as the password of Basic",
                {"www-authenticate": BASIC} if by_browser else {},
            )(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)

    def _knows(self, host: str) -> bool:
        """Whether a request means this server.

        A page of another site whose name was made to lead here (DNS rebinding) has its own name in
        the header. Addresses are no names.
        """
        name = re.sub(r":\d+$", "", host).strip("[]").lower()
        try:
            ip_address(name)
        except ValueError:
            return name in {one.lower() for one in self._names}
        return True


def _token(headers: Headers) -> str | None:
    """The session's token; None if the request has none."""
    value = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
    return value if _TOKEN.fullmatch(value) else None


def _same_origin(headers: Headers) -> bool:
    """Whether a request is this page's own, or a program's, which says nothing of pages."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")


def _answering(send: Send, token: str | None, *, private: bool) -> Send:
    """Answers with the headers that all have, and the cookie of a new session."""

    async def answer(message: Message | MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if private:
                headers["cache-control"] = "no-store"
            if token is not None:
                headers.append(
                    "set-cookie",
                    f"{COOKIE}={token}; {COOKIE_RULES}",
                )
        await send(message)

    return answer
