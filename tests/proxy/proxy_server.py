"""A gateway with only its proxy, on a real port, for raw bytes in and out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Any, cast

import structlog
from aiohttp import web

from gateway.domain.session import Session
from gateway.domain.tasks import BackgroundTasks
from gateway.domain.tenant import Route, Tenant, Timeouts
from gateway.observe.audit import Audit
from gateway.proxy.connection_limits import ConnectionLimits, Runner
from gateway.proxy.handler import ProxyHandler, server_options
from gateway.proxy.headers import HeaderFields
from gateway.proxy.upstream_pool import UpstreamPool
from gateway.sessions.sessions import Sessions
from gateway.web import cookies
from gateway.web.request_check import Checked, InvalidRequest, RequestHead, check
from tests.clock import FakeClock
from tests.ports import free_port
from tests.web.own_pages import application, configuration, failures
from tests.web.sample import session as sample_session
from tests.web.sample import tenant as sample_tenant

HOST = "cc.example"
TOKEN = "header.payload.signature"
QUICK = Timeouts(connect=2.0, first_byte=0.3, between_bytes=0.3)


def tenant(upstream: str = "http://127.0.0.1:1", **changes: Any) -> Tenant:
    """Returns one tenant whose routes lead to `upstream`."""
    routes = (
        Route("/unified-admin", upstream, strip_prefix=True),
        Route("/agent-manager", upstream),
        Route("/slow", upstream, timeouts=QUICK),
        Route("/odd", upstream, allow_encoded_slash=True),
    )
    return sample_tenant(**{"public_url": f"https://{HOST}", "routes": routes, **changes})


def session(**changes: Any) -> Session:
    """Returns the session of a signed-in user."""
    return replace(sample_session(TOKEN), **changes)


def head(
    target: str = "/unified-admin/",
    *headers: tuple[str, str],
    method: str = "GET",
    version: tuple[int, int] = (1, 1),
    host: str | None = HOST,
) -> RequestHead:
    """Returns a request head; a Host is added unless it is None."""
    fields = (("Host", host), *headers) if host is not None else headers
    return RequestHead(method, target, version, fields)


def checked(target: str = "/unified-admin/", *headers: tuple[str, str], method: str = "GET") -> Checked:
    """Returns a head that passes the request check."""
    result = check(head(target, *headers, method=method))
    assert not isinstance(result, InvalidRequest), (target, result)
    return result


def values(fields: HeaderFields, name: str) -> list[str]:
    """Returns the values of every field of that name."""
    return [value for key, value in fields if key.lower() == name.lower()]


@dataclass
class KnownSessions:
    """Sessions by cookie value, and the streams registered to close."""

    known: dict[str, Session] = field(default_factory=dict)
    uses: list[str] = field(default_factory=list)
    asked: int = 0
    closers: dict[str, list[Callable[[], None]]] = field(default_factory=dict)

    async def current(self, tenant: Tenant, cookie_value: str) -> Session | None:
        """Has the interface of `Sessions.current`."""
        self.asked += 1
        found = self.known.get(cookie_value)
        return found if found is not None and found.tenant == tenant.id else None

    async def used(self, session: Session) -> None:
        """Has the interface of `Sessions.used`."""
        self.uses.append(session.id)

    def register(self, session_id: str, close: Callable[[], None]) -> Callable[[], None]:
        """Has the interface of `Sessions.register`."""
        self.closers.setdefault(session_id, []).append(close)
        return lambda: self.closers[session_id].remove(close)

    def end(self, session_id: str) -> None:
        """Ends the session."""
        self.known = {value: one for value, one in self.known.items() if one.id != session_id}
        for close in tuple(self.closers.get(session_id, ())):
            close()


@dataclass
class ProxyServer:
    """A running gateway."""

    port: int
    sessions: KnownSessions
    clock: FakeClock
    tenants: list[Tenant]
    cookie: str
    runner: Runner

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Opens a raw connection."""
        return await asyncio.open_connection("127.0.0.1", self.port, limit=2**24)

    async def send(self, raw: bytes) -> bytes:
        """Sends bytes on a new connection, ends the sending side, and returns all received bytes."""
        reader, writer = await self.connect()
        try:
            writer.write(raw)
            await writer.drain()
            return await until_quiet(reader)
        finally:
            writer.transport.abort()

    async def first(self, raw: bytes) -> bytes:
        """Sends bytes and returns the first received head."""
        reader, writer = await self.connect()
        try:
            writer.write(raw)
            return await asyncio.wait_for(read_head(reader), 10)
        finally:
            writer.transport.abort()

    def request(
        self, target: str, *lines: str, method: str = "GET", signed_in: bool = True, body: bytes = b""
    ) -> bytes:
        """Returns a raw request of a page of the same origin, which ends its connection."""
        fields = [f"Host: {HOST}", "Sec-Fetch-Site: same-origin", "Connection: close", *lines]
        if signed_in:
            fields.append(f"Cookie: {self.cookie}")
        if body:
            fields.append(f"Content-Length: {len(body)}")
        return "\r\n".join([f"{method} {target} HTTP/1.1", *fields, "", ""]).encode("latin-1") + body


async def until_quiet(reader: asyncio.StreamReader) -> bytes:
    """Returns all bytes until the other side ends or sends nothing for five seconds."""
    data = b""
    try:
        while part := await asyncio.wait_for(reader.read(65536), 5):
            data += part
    except (ConnectionError, TimeoutError):
        pass
    return data


def status_of(answer: bytes) -> int:
    """Returns the status of a raw answer; 0 without one."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def fields_of(answer: bytes) -> list[tuple[str, str]]:
    """Returns the fields of a raw answer."""
    lines = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def body_of(answer: bytes) -> bytes:
    """Returns the body of a raw answer, without chunk framing."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head.lower():
        return body
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        whole += rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]
    return whole


@asynccontextmanager
async def gateway(
    *tenants: Tenant,
    trusted: tuple[str, ...] = (),
    limits: ConnectionLimits | None = None,
    keep_alive: float = 75.0,
    routes: Iterable[web.RouteDef] = (),
    sockets: int = 20,
) -> AsyncIterator[ProxyServer]:
    """Yields a gateway for `tenants`, with one session that `ProxyServer.cookie` opens."""
    structlog.reset_defaults()
    sessions, clock, pool = KnownSessions(), FakeClock(), UpstreamPool()
    known = session()
    sessions.known["tag.secret"] = known
    first = tenants[0]
    networks = tuple(ip_network(text) for text in trusted)
    app = application(configuration(*tenants, trusted=networks))

    async def own_page(request: web.Request) -> web.Response:
        return web.Response(text="own page")

    app.router.add_get("/-/login", own_page)
    app.add_routes(routes)
    ProxyHandler(
        sessions=cast(Sessions, sessions),
        errors=failures(),
        audit=Audit(clock),
        clock=clock,
        pool=pool,
        tasks=BackgroundTasks(),
        websockets_per_session=sockets,
    ).add_to(app)
    options = server_options() | {"keepalive_timeout": keep_alive}
    runner = Runner(app, trusted=lambda: networks, limits=limits, shutdown_timeout=1, **options)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    cookie = f"{cookies.name_of(cookies.Cookie.SESSION, first)}=tag.secret"
    try:
        yield ProxyServer(port, sessions, clock, list(tenants), cookie, runner)
    finally:
        pool.close()
        await runner.cleanup()


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class ScriptedApp:
    """An app that does exactly what a test wants on each connection."""

    port: int
    connections: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """Returns the address without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def app_that(script: Script) -> AsyncIterator[ScriptedApp]:
    """Yields an app on a real port; `closed` is set when the other side or the script has ended a connection."""
    app = ScriptedApp(free_port())
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        app.connections += 1
        writers.append(writer)
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            app.closed.set()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", app.port, limit=2**24)
    try:
        yield app
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """Reads one head, blank line included."""
    return await reader.readuntil(b"\r\n\r\n")
