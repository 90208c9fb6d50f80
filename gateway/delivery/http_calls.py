"""Calls the HTTP services that deliver or verify codes.

Every call ends within its time limit, follows no redirect, keeps no cookie, ignores the proxies of the environment and
reads a response of bounded size. The result is a value: `Answer`, or `NoAnswer` with a reason for the operator. What an
answer means is decided by the caller, which accepts only an explicit positive one.

Each call has a connection of its own. A server may close an idle connection just when a request is sent on it; then
nothing tells whether it handled the request, and a code must not be sent or checked twice.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import structlog
from yarl import URL

from gateway.crypto.tls import client_context
from gateway.delivery.conversation import Conversation
from gateway.domain.channel import TlsSettings
from gateway.observe.connection_errors import own_text, why_not_connected
from gateway.observe.redaction import DOTS, is_secret

MOST = 64 * 1024
"""Bytes of a response that are read. A longer one is no answer."""
_AT_ONCE = 50
"""Connections to one service. Further calls wait, within their time limit."""


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One request to a service. `url` is complete and is sent as it is; `timeout` in seconds covers the whole call.

    `tls_key` is the place of `tls` in the settings, for messages. Neither body nor headers are printed.
    """

    method: str
    url: str = field(repr=False)
    timeout: float
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    tls: TlsSettings = TlsSettings()
    tls_key: str = "tls"


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def succeeded(self) -> bool:
        """Whether the status is 2xx. It tells nothing about the meaning of the body."""
        return 200 <= self.status < 300

    def text(self) -> str | None:
        """The body as text, None if it is not UTF-8."""
        try:
            return self.body.decode("utf-8-sig")
        except UnicodeDecodeError:
            return None

    def json_object(self) -> Mapping[str, Any] | None:
        """The body as one JSON object, None for anything else: other values, repeated keys, NaN, too deep a nesting."""
        try:
            found = json.loads(self.text() or "", object_pairs_hook=_once_each, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No complete response. `unknown`: the service may have got the request, and may have handled it."""

    reason: str
    unknown: bool = False


class HttpCalls:
    """Makes calls. Build one for the whole process, and close it at the end. A `conversation` reports all of them."""

    def __init__(self, conversation: Conversation | None = None) -> None:
        self._conversation = conversation
        self._sessions: dict[TlsSettings, aiohttp.ClientSession] = {}
        self._log = structlog.get_logger("delivery.http")

    async def send(self, call: HttpCall) -> Answer | NoAnswer:
        """The response of the service to `call`."""
        connected = asyncio.Event()
        if self._conversation:
            self._conversation.note(_server(call))
            target = URL(call.url, encoded=True).raw_path_qs
            self._conversation.sent(_message(f"{call.method} {target}", call.headers, call.body))
        result = await self._send(call, connected)
        if self._conversation and isinstance(result, Answer):
            self._conversation.received(_message(f"HTTP {result.status}", result.headers.items(), result.body))
        if isinstance(result, NoAnswer):
            self._log.warning("no_http_answer", server=_server(call), why=result.reason, unknown=result.unknown)
        return result

    async def close(self) -> None:
        """Close all connections."""
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.close()

    async def _send(self, call: HttpCall, connected: asyncio.Event) -> Answer | NoAnswer:
        try:
            session = self._session(call.tls)
        except OSError as error:  # ssl.SSLError is one
            return NoAnswer(f"{call.tls_key}: {error}")
        try:
            async with (
                asyncio.timeout(call.timeout),
                session.request(
                    call.method,
                    URL(call.url, encoded=True),
                    headers=[("Accept-Encoding", "identity"), *call.headers],
                    data=call.body or None,
                    allow_redirects=False,
                    trace_request_ctx=connected,
                ) as response,
            ):
                body = await _read(response)
                if isinstance(body, NoAnswer):
                    return body
                return Answer(response.status, response.headers, body)
        except TimeoutError:
            return NoAnswer(f"no response within {call.timeout:g} s", unknown=connected.is_set())
        except (aiohttp.ClientConnectorError, aiohttp.ClientSSLError) as error:
            cause = error.__cause__ or error  # aiohttp's own error of a certificate has not the reason
            return NoAnswer(why_not_connected(cause, tls=call.tls_key, no_tls="write http:// for a server without TLS"))
        except (aiohttp.ClientError, ValueError, OSError) as error:
            return NoAnswer(own_text(error), unknown=connected.is_set())

    def _session(self, tls: TlsSettings) -> aiohttp.ClientSession:
        session = self._sessions.get(tls)
        if session is None:
            trace = aiohttp.TraceConfig()
            trace.on_connection_create_end.append(_connected)
            session = self._sessions[tls] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=client_context(tls), force_close=True, limit_per_host=_AT_ONCE),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                trace_configs=[trace],
                headers={"User-Agent": "efcx-gateway"},
                skip_auto_headers=("Accept", "Content-Type"),
            )
        return session


async def _read(response: aiohttp.ClientResponse) -> bytes | NoAnswer:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        return NoAnswer("the response is compressed, which the gateway did not ask for", unknown=True)
    body = bytearray()
    async for part in response.content.iter_chunked(MOST):
        body += part
        if len(body) > MOST:
            return NoAnswer(f"the response is longer than {MOST} bytes", unknown=True)
    return bytes(body)


async def _connected(
    session: aiohttp.ClientSession, context: Any, params: aiohttp.TraceConnectionCreateEndParams
) -> None:
    context.trace_request_ctx.set()


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises `ValueError` for a repeated key, which two readers may understand differently."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _message(first: str, headers: Iterable[tuple[str, str]], body: bytes) -> str:
    """A message as a conversation shows it: first line, headers, body. Headers that are named as secrets are masked."""
    lines = [first, *(f"{name}: {DOTS if is_secret(name) else value}" for name, value in headers)]
    return "\n".join([*lines, "", body.decode("utf-8", "replace")] if body else lines)


def _server(call: HttpCall) -> str:
    """Scheme, host and port: a path or query may hold a number or a password."""
    return str(URL(call.url, encoded=True).origin())
