"""The two small apps behind the demo's gateway. They show which user is signed in and what reached them.

*Unified Admin* and *Agent Manager* know nothing of the gateway: they take a bearer token as the real apps do, and read
its claims without verifying them, which is fine for showing and for nothing else. Agent Manager has a live WebSocket:
`/ws` sends who is present once a second and echoes what it gets as `{"type": "echo", "text": …}`; `/echo` gives every
message back as it came. As with the single-page apps they stand for, every other path below them is the page.
"""

import asyncio
import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web
from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway.demo.loopback import loopback_only
from gateway.domain.ports import Clock

_SECONDS_BETWEEN_TICKS = 1.0
_STATES = ("Ready", "On a call", "Wrapping up", "Ready", "On a break", "In a chat")
_HELP = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Talk to an agent</title>
<style>
:root { color-scheme: light dark }
body { max-inline-size: 34rem; margin: 12vh auto; padding: 0 1rem; font: 16px/1.5 system-ui }
</style>
<main>
<h1>Talk to an agent</h1>
<p>You couldn't confirm it's you. Call us, and an agent helps you.</p>
<p><a href="/-/demo">Back to the demo</a></p>
</main>
"""
_COLLEAGUES = ("Mira Okafor", "Jonas Weber", "Layla Haddad", "Tomás Ruiz", "Priya Nair")


@dataclass(frozen=True, slots=True)
class Sample:
    """One app: the path it is reached under, what it is called, and its page."""

    prefix: str
    name: str
    template: str


UNIFIED_ADMIN = Sample("/unified-admin", "Unified Admin", "unified_admin.html")
AGENT_MANAGER = Sample("/agent-manager", "Agent Manager", "agent_manager.html")
SAMPLES = (UNIFIED_ADMIN, AGENT_MANAGER)


@dataclass(frozen=True, slots=True)
class Person:
    """Who the token says is signed in; all empty when no token came."""

    username: str = ""
    name: str = ""
    email: str = ""
    roles: tuple[str, ...] = ()

    @property
    def initials(self) -> str:
        """For the round picture."""
        words = (self.name or self.username or "?").split()
        return "".join(word[0] for word in words[:2]).upper()


def templates() -> Environment:
    """The demo's own templates."""
    return Environment(loader=PackageLoader("gateway.demo"), autoescape=True, undefined=StrictUndefined)


def build(sample: Sample, clock: Clock) -> web.Application:
    """The app of `sample`. It is served with its prefix taken off."""
    return _App(sample, clock, templates()).application()


async def _help(_request: web.Request) -> web.Response:
    """The page of a named path, for users who cannot sign in."""
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
    return web.Response(text=_HELP, content_type="text/html", charset="utf-8", headers=headers)


class _App:
    def __init__(self, sample: Sample, clock: Clock, environment: Environment) -> None:
        self._sample = sample
        self._clock = clock
        self._environment = environment
        self._live: set[web.WebSocketResponse] = set()

    def application(self) -> web.Application:
        app = web.Application(middlewares=[loopback_only])
        app.add_routes(
            [
                web.get("/api/me", self._me),
                web.get("/help", _help),
                web.get("/ws", self._presence),
                web.get("/echo", self._echo),
                web.get("/{deep:(?!api/).*}", self._page),
            ]
        )
        app.on_shutdown.append(self._close)
        return app

    async def _page(self, request: web.Request) -> web.Response:
        nonce = secrets.token_urlsafe(16)
        rows = received(request.headers)
        text = self._environment.get_template(self._sample.template).render(
            sample=self._sample,
            samples=SAMPLES,
            path=request.path_qs,
            person=person_of(request.headers),
            ours=[row for row in rows if is_ours(row[0])],
            received=[row for row in rows if not is_ours(row[0])],
            claims=claims_of(request.headers),
            nonce=nonce,
        )
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
        )
        headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=headers)

    async def _me(self, request: web.Request) -> web.Response:
        person = person_of(request.headers)
        return web.json_response(
            {
                "app": self._sample.name,
                "username": person.username,
                "name": person.name,
                "roles": person.roles,
                "received": [{"name": name, "value": value} for name, value in received(request.headers)],
            }
        )

    async def _presence(self, request: web.Request) -> web.StreamResponse:
        live = web.WebSocketResponse(heartbeat=20)
        await live.prepare(request)
        self._live.add(live)
        ticking = asyncio.create_task(self._tick(live, person_of(request.headers)))
        try:
            async for message in live:
                if message.type is WSMsgType.TEXT:
                    await live.send_json({"type": "echo", "text": message.data})
        finally:
            ticking.cancel()
            self._live.discard(live)
        return live

    async def _tick(self, live: web.WebSocketResponse, person: Person) -> None:
        begun = self._clock.now()
        while not live.closed:
            now = self._clock.now()
            await live.send_json({"type": "presence", "agents": presence(person, now - begun, now)})
            await asyncio.sleep(_SECONDS_BETWEEN_TICKS)

    async def _echo(self, request: web.Request) -> web.StreamResponse:
        live = web.WebSocketResponse(protocols=("echo",))
        await live.prepare(request)
        self._live.add(live)
        try:
            async for message in live:
                if message.type is WSMsgType.TEXT:
                    await live.send_str(message.data)
                elif message.type is WSMsgType.BINARY:
                    await live.send_bytes(message.data)
        finally:
            self._live.discard(live)
        return live

    async def _close(self, _app: web.Application) -> None:
        for live in tuple(self._live):
            await live.close(code=1001, message=b"the demo ends")


def person_of(headers: Mapping[str, str]) -> Person:
    """Whom the bearer token names. Not verified: for showing only."""
    claims = claims_of(headers)
    access = claims.get("realm_access")
    roles = access.get("roles", []) if isinstance(access, dict) else []
    return Person(
        username=str(claims.get("preferred_username", "")),
        name=str(claims.get("name", "")),
        email=str(claims.get("email", "")),
        roles=tuple(str(role) for role in roles) if isinstance(roles, list) else (),
    )


def claims_of(headers: Mapping[str, str]) -> dict[str, Any]:
    """The payload of the bearer token (RFC 7519), {} when there is none or it cannot be read."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    parts = token.split(".")
    if scheme.lower() != "bearer" or len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def received(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The request's headers as they are shown: tokens by their length, cookies by their names."""
    return [(name, _shown(name.lower(), value)) for name, value in headers.items()]


def is_ours(name: str) -> bool:
    """Whether a header is one that a gateway writes or replaces."""
    name = name.lower()
    return name in ("authorization", "cookie", "host", "via") or name.startswith(
        ("x-forwarded-", "x-auth-", "x-request")
    )


def _shown(name: str, value: str) -> str:
    if name == "authorization":
        scheme, _, token = value.partition(" ")
        return f"{scheme} {token[:8]}… ({len(token):,} characters)"
    if name == "cookie":
        pairs = [pair.strip().partition("=") for pair in value.split(";")]
        return "; ".join(f"{key}=… ({len(content):,} characters)" for key, _, content in pairs)
    return value


def presence(person: Person, passed: float, now: float) -> list[dict[str, object]]:
    """The rows of the page `passed` seconds after it was opened; invented colleagues change state now and then."""
    me = person.name or person.username or "You"
    rows: list[dict[str, object]] = [{"name": me, "state": "Ready", "seconds": int(passed), "me": True}]
    for number, name in enumerate(_COLLEAGUES):
        length = 17 + 6 * number
        turn = int(now) // length
        rows.append(
            {
                "name": name,
                "state": _STATES[(turn + number) % len(_STATES)],
                "seconds": int(now) % length,
                "me": False,
            }
        )
    return rows
