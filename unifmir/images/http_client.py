"""The connections that images are read over: to the machines that their addresses mean."""

import socket
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from unifmir.web_address import require_meant


class MeantResolver(AbstractResolver):
    """Numbers of a server, refused where its name leads into the user's own network unsaid.

    aiohttp connects to the very numbers that this gives, so that a name cannot be changed between
    the look at it and the connection. Servers that are named by a number are not asked for here.
    """

    def __init__(self) -> None:
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Numbers of a server; AddressError where it is not asked."""
        found = await self._system.resolve(host, port, family)
        require_meant(host, [one["host"] for one in found])
        return found

    async def close(self) -> None:
        """Close the system's."""
        await self._system.close()


async def client(**options: Any) -> aiohttp.ClientSession:
    """Open a session whose connections are held to the rule on addresses; fsspec calls it."""
    connector = aiohttp.TCPConnector(resolver=MeantResolver())
    return aiohttp.ClientSession(connector=connector, **options)
