"""Tests that no secret of a whole login is in a log line, an answer or the store."""

import asyncio
import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from redis.asyncio import Redis

from gateway.demo.identity_provider.realm import Fault, Realm
from tests.fixtures.installation import Folder, folder, replicas
from tests.fixtures.keycloak_admin import new_password
from tests.fixtures.mail import MailServer
from tests.fixtures.person import Person, code_for, wrong
from tests.fixtures.stand_in_keycloak import StandIn
from tests.fixtures.upstream import EchoUpstream

pytestmark = [pytest.mark.redis, pytest.mark.slow]
ADDRESS = "canary.of.this.run@mailbox.example"
PROFILE = "profile.of.this.run@mailbox.example"
TOKEN_COOKIE, OWN_COOKIES = "token", {"gateway-session", "gateway-login", "gateway-browser"}


@dataclass
class RecordedAnswers:
    """Records every answer of the gateway: the body and all fields, and the values of cookies separately."""

    answers: dict[str, bytes] = field(default_factory=dict)
    cookies: dict[str, set[str]] = field(default_factory=dict)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Is called by the browser with each answer."""
        response = await handler(request)
        fields = [f"{name}: {value}" for name, value in response.headers.items() if name.lower() != "set-cookie"]
        for name, morsel in response.cookies.items():
            fields.append(f"set-cookie: {name}; {morsel['max-age']}; {morsel['path']}")
            self.cookies.setdefault(name, set()).add(morsel.value)
        body = await response.read()
        label = f"{len(self.answers)} {request.method} {request.url.path} {response.status}"
        if not request.url.path.startswith("/unified-admin"):  # the app returns the headers that it received
            self.answers[label] = "\n".join(fields).encode() + b"\n\n" + body
        return response


@dataclass
class Run:
    """Secrets of one run, and the places where they must not be."""

    secrets: dict[str, str]
    addresses: dict[str, str]
    logs: bytes
    audit: bytes
    store: bytes
    recorded: RecordedAnswers


def spellings(secret: str) -> list[bytes]:
    """Returns a secret as text, in hexadecimal, as in a URL, as in JSON, and as inside of any Base64 text."""
    raw = secret.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode(), quote(secret, safe="").encode()}
    found |= {json.dumps(secret)[1:-1].encode(), raw[::-1]}
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        inner = text[
            4 if shift else 0 : len(text) // 4 * 4 - 4
        ]  # the part that the bytes before and after cannot change
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return [one for one in found if len(one) >= 8]


def places(secret: str, where: dict[str, bytes]) -> list[str]:
    """Returns the places that contain `secret` in any encoding."""
    return [name for name, content in where.items() if any(one in content for one in spellings(secret))]


async def dump(url: str) -> bytes:
    """Returns every key and value of the store, of any type."""
    parts: list[bytes] = []
    async with Redis.from_url(url) as client:
        async for key in client.scan_iter(count=1000):
            is_list = await client.type(key) == b"list"
            value: Any = await (client.lrange(key, 0, -1) if is_list else client.get(key))
            parts += [key, *value] if is_list else [key, value or b""]
    return b"\n".join(parts)


def settings(path: Path, stand_in: StandIn, mail: MailServer, app: EchoUpstream, redis_url: str) -> Folder:
    """Logs everything; codes are too long to be found by accident."""
    made = folder(path, keycloak=stand_in.server, mail=mail, app=app.url, store=redis_url)
    made.two_factor.update(otpLength=10, otpExpiry=300)
    made.gateway |= {"log_level": "debug", "audit_file": "audit.log"}
    return made


@pytest.fixture
async def run(
    tmp_path: Path, stand_in: StandIn, mail_server: MailServer, echo_upstream: EchoUpstream, redis_url: str
) -> Run:
    """Runs a first login with every mistake, a logout, a second login, a stopped one, and an outage of Keycloak."""
    made = settings(tmp_path, stand_in, mail_server, echo_upstream, redis_url)
    user = stand_in.server.admin.create_user(email=PROFILE)
    recorded, mistyped = RecordedAnswers(), new_password()
    realm = stand_in.realms["expertflow"]
    secrets = {"password": user.password, "wrong password": mistyped}
    with replicas(made, 1) as (replica,):
        async with Person(replica.base, middlewares=[recorded]) as agent:
            await agent.page()
            assert (await agent.password(user.username, mistyped)).status == 401
            await agent.submit("password", username=user.username, password=mistyped)
            assert (await agent.to_code(user.username, user.password, ADDRESS)).step == "verify"
            first = await code_for(mail_server, ADDRESS)
            secrets |= {"code": first, "wrong code": wrong(first)}
            await agent.do("verify", code=wrong(first))
            await agent.submit("verify", code=wrong(first))
            await agent.page()
            _note_tokens(realm, secrets)
            assert (await agent.do("verify", code=first)).step == "done"
            assert (await agent.get("/unified-admin/")).status == 200
            store = await dump(redis_url)
            assert (await agent.logout()).status == 303
            agent.csrf = ""
            assert (await agent.password(user.username, user.password)).step == "verify"
            second = await code_for(mail_server, ADDRESS, 2)
            secrets["second code"] = second
            _note_tokens(realm, secrets)
            await agent.do("verify", code=first)
            store += await dump(redis_url)
            await agent.do("verify", "cancel")
            agent.csrf = ""
            realm.behaviour.token_fault = Fault.HTML_ERROR
            assert (await agent.password(user.username, user.password)).status == 503
            realm.behaviour.token_fault = None
            await agent.get(f"/unified-admin/?code={first}", headers={"Accept": "text/html"})
            await agent.get("/nothing/at/all")
        async with asyncio.timeout(20):
            await mail_server.wait(3)
        store += await dump(redis_url)
        audit = (replica.log.parent / "audit.log").read_bytes()
    secrets |= {f"client {name}": value for name, value in stand_in.server.clients.items()}
    for name in OWN_COOKIES:
        for number, value in enumerate(recorded.cookies.get(name, ())):
            secrets |= {f"{name} {number}": value, f"secret of {name} {number}": value.rpartition(".")[2]}
    secrets |= {f"token cookie {n}": value for n, value in enumerate(recorded.cookies[TOKEN_COOKIE])}
    secrets = {name: value for name, value in secrets.items() if value}
    addresses = {"registered": ADDRESS, "of the profile": PROFILE}
    return Run(secrets, addresses, replica.log.read_bytes(), audit, store, recorded)


def _note_tokens(realm: Realm, secrets: dict[str, str]) -> None:
    for session in realm.sessions.values():
        secrets[f"refresh token {session.id}"] = session.refresh_token


async def test_no_secret_of_a_whole_login_is_found_in_the_logs_answers_or_store(run: Run) -> None:
    assert len(run.secrets) >= 14, sorted(run.secrets)
    assert b"code_rejected" in run.audit
    assert b"code_rejected" in run.logs
    assert len(run.store) > 2000
    where = {"log": run.logs, "audit": run.audit, "store": run.store, **run.recorded.answers}
    found = {name: places(secret, where) for name, secret in run.secrets.items()}
    assert not {name: at for name, at in found.items() if at}
    for name, content in where.items():
        assert b"eyJ" not in content, f"something like a token in {name}"

    # The gateway shows a full address only in the login in which the user has just typed it.
    numbers = {label: int(label.split()[0]) for label in run.recorded.answers}
    signed_out = next(number for label, number in numbers.items() if "/-/logout" in label)
    for secret in run.addresses.values():
        assert places(secret, {"log": run.logs, "audit": run.audit, "store": run.store}) == []
        shown = places(secret, run.recorded.answers)
        assert all("/-/login/" in label and numbers[label] < signed_out for label in shown), shown
    shown_to_typist = places(ADDRESS, run.recorded.answers)
    assert shown_to_typist
    assert places(PROFILE, run.recorded.answers) == []


def test_the_search_finds_a_secret_in_every_encoding() -> None:
    secret = "kA7-x+/Zq9Lw_c~canary"
    hidden = {
        "raw": b"..." + secret.encode(),
        "hex": secret.encode().hex().encode(),
        "url": quote(secret, safe="").encode(),
        "json": json.dumps({"a": secret}).encode(),
        **{f"base64 {n}": base64.b64encode(b"y" * n + secret.encode() + b"zz") for n in range(4)},
        **{f"urlsafe {n}": base64.urlsafe_b64encode(b"y" * n + secret.encode() + b"zz") for n in range(4)},
    }
    assert places(secret, {**hidden, "nothing": b"x" * 100}) == list(hidden)
