"""Sends requests to Keycloak over aiohttp, at a third of the CPU of httpx.

It also stands in for the HTTP client of python-keycloak, which asks it for three methods and reads three things of an
answer. Redirects are not followed, and the environment's proxies are ignored.
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
FORM = "application/x-www-form-urlencoded"


class BadStatus(Exception):
    """An answer has another status than 2xx."""

    def __init__(self, answer: "Answer") -> None:
        super().__init__(f"status {answer.status_code}")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status_code: int
    content: bytes
    headers: Mapping[str, str]

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status_code < 300

    def raise_for_status(self) -> None:
        """Raises `BadStatus` for another status than 2xx."""
        if not self.is_success:
            raise BadStatus(self)

    def json(self) -> Any:
        """The value in the body; raises `ValueError`."""
        return json.loads(self.content)


class Connection:
    """Connections to one Keycloak. Make it inside an event loop.

    `headers` are sent with every request. It has what a `keycloak.ConnectionManager` uses of its `httpx.AsyncClient`.
    """

    def __init__(self, context: ssl.SSLContext, headers: Mapping[str, str] | None = None) -> None:
        self.headers = headers or {}
        self._session = ClientSession(
            connector=TCPConnector(ssl=context, keepalive_timeout=IDLE), cookie_jar=DummyCookieJar()
        )

    async def get(self, url: str, **more: Any) -> Answer:
        """See `request`."""
        return await self.request("GET", url, **more)

    async def put(self, url: str, **more: Any) -> Answer:
        """See `request`."""
        return await self.request("PUT", url, **more)

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str | bytes] | None = None,
        timeout: float | None = None,
        content: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Answer:
        """The answer to a request with a `content` or the form `data`; raises `OSError` and `aiohttp.ClientError`."""
        fields = {**self.headers}
        for name, value in (headers or {}).items():
            fields[name] = value.decode() if isinstance(value, bytes) else value
        if data:
            content = urlencode(data)
            fields.setdefault(hdrs.CONTENT_TYPE, FORM)
        address = URL(f"{url}?{urlencode({key: _written(value) for key, value in params.items()})}" if params else url)
        body = None if content is None else content.encode()
        limit = ClientTimeout(total=timeout)
        try:
            async with self._session.request(
                method, address, headers=fields, data=body, allow_redirects=False, timeout=limit
            ) as answer:
                return Answer(answer.status, await answer.read(), answer.headers)
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
