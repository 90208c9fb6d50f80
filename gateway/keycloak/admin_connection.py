"""Sends python-keycloak's requests over aiohttp, at a third of the CPU of httpx.

python-keycloak asks its `async_s` for three methods and reads three things of an answer. Redirects are not followed,
and the environment's proxies are ignored.
"""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiohttp import ClientConnectorError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, hdrs
from yarl import URL

IDLE = 30.0
"""Seconds for which an unused connection stays open."""
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class AdminAnswer:
    """A whole answer."""

    status_code: int
    content: bytes

    def json(self) -> Any:
        """The value in the body; raises `ValueError`."""
        return json.loads(self.content)


class AdminConnection:
    """Stands in for the `httpx.AsyncClient` of a `keycloak.ConnectionManager`. Use it inside an event loop."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._session = ClientSession(
            connector=TCPConnector(ssl=context, keepalive_timeout=IDLE), cookie_jar=DummyCookieJar()
        )

    async def get(self, url: str, **more: Any) -> AdminAnswer:
        """See `request`."""
        return await self.request("GET", url, **more)

    async def put(self, url: str, **more: Any) -> AdminAnswer:
        """See `request`."""
        return await self.request("PUT", url, **more)

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any],
        headers: Mapping[str, str | bytes],
        timeout: float,
        content: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> AdminAnswer:
        """The answer to a request with a `content` or the form `data`; raises `OSError` and `aiohttp.ClientError`."""
        fields = {name: value.decode() if isinstance(value, bytes) else value for name, value in headers.items()}
        if data:
            content = urlencode(data)
            fields.setdefault(hdrs.CONTENT_TYPE, _FORM)
        address = URL(f"{url}?{urlencode({key: _written(value) for key, value in params.items()})}" if params else url)
        body = None if content is None else content.encode()
        limit = ClientTimeout(total=timeout)
        try:
            async with self._session.request(
                method, address, headers=fields, data=body, allow_redirects=False, timeout=limit
            ) as answer:
                return AdminAnswer(answer.status, await answer.read())
        except ClientConnectorError as error:
            failed = error.__cause__ or error
        raise failed  # the system's own error, or that of TLS

    async def aclose(self) -> None:
        """Close the connections."""
        await self._session.close()

    @property
    def is_closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._session.closed


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
