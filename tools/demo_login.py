"""Runs the demo, signs in a user over HTTP and traces single requests of the login and to an app.

One process runs the demo in two threads. The identity provider, the inbox and the sample apps have a thread and an
event loop of their own. The gateway and the browser share the main thread, and the tool traces this thread only. The
gateway uses the memory store.

The trace of a request covers the time from the request until shortly after the answer. It then waits for the tasks that
the request started. Tasks that the gateway starts with itself (heartbeats) and other threads are not part of a trace.
"""

import asyncio
import html
import re
import socket
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from aiohttp import BaseConnector, ClientResponse, ClientSession, CookieJar, TCPConnector, web
from aiohttp.typedefs import Handler

import gateway
from gateway.crypto.key_ring import KeyRing
from gateway.demo import identity_provider, start
from gateway.demo.identity_provider import Realm
from gateway.domain.configuration import Configuration
from gateway.domain.tasks import end
from gateway.services import Services, open_services
from tools.calls import Recorder, Trace

GATEWAY = Path(gateway.__file__).parent
DEMO = GATEWAY / "demo"
USER, PASSWORD, ADDRESS = "ben", "ben-demo", "ben@example.com"
"""The user of the demo that signs in, with their enrolled address."""
APP = "/unified-admin/"
NAVIGATION = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
LONGEST = 60.0
"""Seconds until the tool stops waiting for the demo to start."""
REST = 0.1
"""Seconds between two requests. The gateway uses them to finish its work after an answer."""
SETTLE = 2.0
"""Seconds, after `REST`, that the tool waits for tasks that a request started."""


@dataclass
class AdminApi:
    """Counts the requests to the admin API of the demo's identity provider."""

    requests: int = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Counts for identity providers that the demo builds while the block runs."""
        build = identity_provider.build

        def counted(realms: Iterable[Realm]) -> web.Application:
            provider = build(realms)
            provider.middlewares.append(self._count)
            return provider

        with patch.object(identity_provider, "build", counted):
            yield

    @web.middleware
    async def _count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests += "/admin/" in request.path
        return await handler(request)


@dataclass(frozen=True)
class Demo:
    """The demo's parts for its gateway, the count of admin requests, and the function that ends the other thread."""

    configuration: Configuration
    ring: KeyRing
    routes: Sequence[web.RouteDef]
    admin_api: AdminApi
    end: Callable[[], object]


@contextmanager
def running_demo() -> Iterator[Demo]:
    """Runs the demo in another thread, without its gateway, while the block runs."""
    started: Future[Demo] = Future()
    said: list[str] = []
    admin_api = AdminApi()

    async def serve(services: Services, routes: Sequence[web.RouteDef], _ready: Callable[[], None]) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        started.set_result(
            Demo(
                services.configuration(),
                services.key_ring,
                routes,
                admin_api,
                lambda: loop.call_soon_threadsafe(ended.set),
            )
        )
        await ended.wait()

    def run() -> None:
        try:
            with admin_api.counting():
                asyncio.run(start.run(start.Options(port=free_port()), serve, said.append))
            if not started.done():
                raise RuntimeError(said[-1])
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="demo", daemon=True)
    thread.start()
    demo = started.result(timeout=LONGEST)
    try:
        if not admin_api.requests:  # the demo has enrolled its users with them
            raise RuntimeError("the identity provider does not count its admin requests")
        yield demo
    finally:
        demo.end()
        thread.join()


def free_port() -> int:
    """Returns a TCP port of this machine that no process uses."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Request:
    """One request that the tool traces."""

    name: str
    method: str
    path: str
    about: str


PASSWORD_FORM = Request("password", "POST", "/-/login/password", "the gateway sends the code by e-mail")
VERIFY_PAGE = Request("verify-page", "GET", "/-/login/verify", "the page that asks for the code")
VERIFY_FORM = Request("verify", "POST", "/-/login/verify", "the code opens the session")
CACHED = Request("cached", "GET", APP, "proxied, with a cached session")
NO_SESSION = Request("no-session", "GET", APP, "without a session")
REQUESTS = (PASSWORD_FORM, VERIFY_PAGE, VERIFY_FORM, CACHED, NO_SESSION)
LOGIN = (PASSWORD_FORM, VERIFY_FORM)
"""The requests whose admin requests the report adds up."""


@dataclass(frozen=True)
class Walk:
    """One login in a new browser, then requests to an app. `traces` are by the name of the request."""

    base: str
    admin_api: AdminApi
    connector: BaseConnector
    permanent: Collection[asyncio.Task[Any]]
    traces: dict[str, Trace] = field(default_factory=dict)

    async def run(self) -> None:
        """Sends all requests and traces those of `REQUESTS`."""
        async with self._browser() as browser:
            page = await self._get(browser, f"/-/login?to={APP}")
            mails = len(await self._mails(browser))
            given = {"username": USER, "password": PASSWORD, "action": ""}
            await self._traced(browser, PASSWORD_FORM, 303, {**hidden_fields(page), **given})
            code = await self._code(browser, mails)
            page = await self._traced(browser, VERIFY_PAGE, 200)
            await self._traced(browser, VERIFY_FORM, 303, {**hidden_fields(page), "code": code, "action": ""})
            await self._get(browser, APP)
            await self._traced(browser, CACHED, 200)
        async with self._browser() as browser:
            await self._traced(browser, NO_SESSION, 303)

    def _browser(self) -> ClientSession:
        """Returns a browser without cookies. All browsers share one connection, so that no traced request opens one."""
        jar = CookieJar(unsafe=True)
        return ClientSession(self.base, connector=self.connector, connector_owner=False, cookie_jar=jar)

    async def _traced(
        self, browser: ClientSession, request: Request, status: int, form: Mapping[str, str] | None = None
    ) -> str:
        """Sends and traces one request. Returns the text of the answer."""
        headers = {**NAVIGATION, "Sec-Fetch-Site": "same-origin" if form else "none"}
        recorder = Recorder(GATEWAY, without=DEMO, tasks=self.permanent)
        await asyncio.sleep(REST)
        before, tasks = self.admin_api.requests, asyncio.all_tasks()
        with recorder.recording():
            async with browser.request(
                request.method, request.path, data=form, headers=headers, allow_redirects=False
            ) as answer:
                text = await answer.text()
            await asyncio.sleep(REST)
            if begun := asyncio.all_tasks() - tasks:
                await asyncio.wait(begun, timeout=SETTLE)
        expect(answer, status)
        self.traces[request.name] = Trace(recorder.calls, answer.status, self.admin_api.requests - before)
        return text

    async def _get(self, browser: ClientSession, path: str) -> str:
        """Returns the page at `path`, without a trace."""
        async with browser.get(path, headers={**NAVIGATION, "Sec-Fetch-Site": "none"}) as answer:
            text = await answer.text()
        expect(answer, 200)
        return text

    async def _mails(self, browser: ClientSession) -> list[str]:
        """Returns the texts of the mails to the user, the newest first."""
        async with browser.get("/-/demo/inbox.json") as answer:
            return [mail["text"] for mail in await answer.json() if mail["to"] == ADDRESS]

    async def _code(self, browser: ClientSession, mails: int) -> str:
        """Returns the code of the newest mail. The user had `mails` mails before it."""
        found = await self._mails(browser)
        code = re.search(r"(?m)^\s*(\d{4,10})\s*$", found[0]) if len(found) > mails else None
        if code is None:
            raise RuntimeError("the gateway sent no code")
        return code[1]


def expect(answer: ClientResponse, status: int) -> None:
    """Raises `RuntimeError` if the status of an answer is another one."""
    if answer.status != status:
        raise RuntimeError(f"{answer.method} {answer.url.path}: status {answer.status} instead of {status}")


def hidden_fields(page: str) -> dict[str, str]:
    """Returns the hidden fields of the login form on a page."""
    for form in page.split("<form")[1:]:
        fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form))
        if "round" in fields:
            return {name: html.unescape(value) for name, value in fields.items()}
    raise RuntimeError("the page contains no login form")


async def trace(demo: Demo, *, cold: bool = False) -> Mapping[str, Trace]:
    """Runs the demo's gateway and returns the trace of each of `REQUESTS` by its name. `cold`: of the first login."""
    base = f"http://localhost:{demo.configuration.gateway.listen.port}"
    ready = asyncio.Event()

    async def serve() -> None:
        """The thread of the demo has services of its own: these belong to the event loop of this one."""
        async with open_services(lambda: demo.configuration, demo.ring) as services:
            await start.serve_gateway(services, demo.routes, ready.set)

    waiting, serving = asyncio.create_task(ready.wait()), asyncio.create_task(serve())
    try:
        await asyncio.wait((waiting, serving), timeout=LONGEST, return_when=asyncio.FIRST_COMPLETED)
        if not ready.is_set():
            await end(serving)
            raise RuntimeError("the gateway did not start")
        permanent = asyncio.all_tasks()
        async with TCPConnector(limit=1) as connector:
            walks = [Walk(base, demo.admin_api, connector, permanent) for _ in range(1 if cold else 2)]
            for walk in walks:
                await walk.run()
        return walks[-1].traces
    finally:
        await end(waiting)
        await end(serving)
