"""A real socket.io 4 client connects to a real socket.io server behind the gateway, as Agent Manager's does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import socketio
from aiohttp import ClientSession, CookieJar, web

from tests.fixtures.person import Person
from tests.fixtures.ports import free_port
from tests.fixtures.site import Site

pytestmark = pytest.mark.row("GW-02")
PATH = "/agent-manager/socket.io/"


@dataclass
class AgentManager:
    """The server: echoes `say`, answers `ask`, keeps what each handshake carried and why a client left."""

    io: socketio.AsyncServer
    url: str
    handshakes: list[dict[str, str]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
async def agent_manager() -> AsyncIterator[AgentManager]:
    """Yields a server with a rule for origins, which the gateway's requests must satisfy."""
    io = socketio.AsyncServer(async_mode="aiohttp")
    port = free_port()
    server = AgentManager(io, f"http://127.0.0.1:{port}")

    @web.middleware
    async def keep(request: web.Request, handler: Any) -> web.StreamResponse:
        server.requests.append((request.method, request.query.get("transport", "")))
        answer: web.StreamResponse = await handler(request)
        return answer

    @io.event
    async def connect(_sid: str, environ: dict[str, Any]) -> None:
        server.handshakes.append({name.lower(): value for name, value in environ["aiohttp.request"].headers.items()})

    @io.event
    async def say(sid: str, *data: Any) -> None:
        await io.emit("said", data, to=sid)

    @io.event
    async def ask(_sid: str, data: Any) -> Any:
        return {"you asked": data}

    @io.event
    async def disconnect(_sid: str, *_reason: str) -> None:
        server.left.set()

    app = web.Application(middlewares=[keep])
    io.attach(app)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield server
    await io.shutdown()
    await runner.cleanup()


@asynccontextmanager
async def signed_in(site: Site, app: AgentManager) -> AsyncIterator[Person]:
    """Signs a user in, with `app` as Agent Manager."""
    site.settings.tenant["gateway"]["routes"][1]["to"] = app.url
    site.change()
    user = site.user()
    async with site.person("/agent-manager/") as agent:
        address = "agent@example.com"
        assert (await agent.first_login(user.username, user.password, address, site.mail)).step == "done"
        yield agent


@asynccontextmanager
async def client(agent: Person, *transports: str, cookies: bool = True) -> AsyncIterator[socketio.AsyncClient]:
    """Yields a connected client in `agent`'s browser; without `cookies`, in another one."""
    jar = agent.http.cookie_jar if cookies else CookieJar(unsafe=True)
    async with ClientSession(cookie_jar=jar, headers={"Origin": agent.base}) as browser:
        io = socketio.AsyncClient(reconnection=False, http_session=browser)
        try:
            await io.connect(agent.base, transports=list(transports) or None, socketio_path=PATH)
            yield io
        finally:
            if (
                io.connected and io.transport() == "polling"
            ):  # this client would wait for the end of its last poll, half a minute
                await io.eio.disconnect(abort=True)
            else:
                await io.disconnect()


async def exchange(io: socketio.AsyncClient, *data: Any) -> Any:
    """Sends a message and returns the answer."""
    back: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    io.on("said", lambda *said: back.set_result(list(said)))
    await io.emit("say", data)
    async with asyncio.timeout(20):
        return await back


@pytest.mark.parametrize("transports", [("polling",), ("websocket",), ()], ids=["polling", "websocket", "upgrade"])
async def test_events_acknowledgements_and_binary_data_pass_in_both_directions(
    transports: tuple[str, ...], light_site: Site, agent_manager: AgentManager
) -> None:
    async with signed_in(light_site, agent_manager) as agent, client(agent, *transports) as io:
        # python-engineio reads a POST once (`read(length)` of aiohttp) and treats the received part as the whole, so
        # by polling a message is no larger than one read of the gateway. Node.js, of the real app, reads to the end.
        text, large = "grüß \u06f1", b"\x00\xff" * (20_000 if transports == ("websocket",) else 5_000)
        assert await exchange(io, text, {"n": 1}) == [text, {"n": 1}]
        assert await exchange(io, large) == [large]
        assert await io.call("ask", "anybody?", timeout=20) == {"you asked": "anybody?"}
        assert io.transport() == (transports[0] if transports else "websocket")


async def test_a_client_that_starts_with_polling_is_upgraded_to_a_websocket(
    light_site: Site, agent_manager: AgentManager
) -> None:
    async with signed_in(light_site, agent_manager) as agent, client(agent) as io:
        assert io.transport() == "websocket"
        await exchange(io, "after the upgrade")
    kinds = [transport for _, transport in agent_manager.requests]
    assert kinds[0] == "polling"
    assert "websocket" in kinds


@pytest.mark.row("GW-08")
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_the_server_learns_the_user_and_never_receives_the_gateways_cookies(
    transport: str, light_site: Site, agent_manager: AgentManager
) -> None:
    async with signed_in(light_site, agent_manager) as agent, client(agent, transport):
        token = agent.cookie("token")
    seen = agent_manager.handshakes[0]
    assert seen["authorization"] == f"Bearer {token}"
    assert seen["cookie"] == f"token={token}"


async def test_the_server_is_informed_when_a_client_disconnects(light_site: Site, agent_manager: AgentManager) -> None:
    async with signed_in(light_site, agent_manager) as agent:
        async with client(agent, "websocket"):
            pass
        async with asyncio.timeout(20):
            await agent_manager.left.wait()


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_without_a_session_nothing_reaches_the_server(
    transport: str, light_site: Site, agent_manager: AgentManager
) -> None:
    async with signed_in(light_site, agent_manager) as agent:
        with pytest.raises(socketio.exceptions.ConnectionError):
            async with client(agent, transport, cookies=False):
                pass
    assert agent_manager.requests == []


async def test_a_logout_ends_the_connection(light_site: Site, agent_manager: AgentManager) -> None:
    async with signed_in(light_site, agent_manager) as agent, client(agent, "websocket") as io:
        gone = asyncio.Event()
        io.on("disconnect", lambda *_reason: gone.set())
        await agent.logout()
        async with asyncio.timeout(20):
            await gone.wait()
            await agent_manager.left.wait()
