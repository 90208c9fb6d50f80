"""Real proxies with the shipped configurations: what reaches the app, and what the browser."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest
import trustme
from aiohttp import ClientResponse, ClientSession, DummyCookieJar, TCPConnector, WSServerHandshakeError
from yarl import URL

from gateway.domain.configuration import ForwardAuthProxy
from gateway.domain.session import Session
from gateway.domain.tenant import AllowedUsers, IdentityDelivery, Route, Tenant
from gateway.proxy.headers import ORIGIN_WIDE
from gateway.sessions.session_key import SessionKey
from gateway.web import cookies
from tests.fixtures import asking_proxies
from tests.fixtures.ports import free_port
from tests.fixtures.proxy_server import ProxyServer, gateway, session, tenant
from tests.fixtures.upstream import EchoUpstream

pytestmark = [pytest.mark.row("GW-04"), pytest.mark.attack("F13")]
NGINX, TRAEFIK, CADDY, ENVOY = ForwardAuthProxy
HERE = (NGINX, CADDY, *(proxy for proxy in (TRAEFIK, ENVOY) if asking_proxies.has(proxy.value)))
"""Traefik and Envoy are tested where they are installed; CI has neither."""
OWN = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
PAGE = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}
EVIL = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Origin": "https://evil.example"}
FORGED = (
    "X-Auth-User-Id",
    "X-Auth-Username",
    "X-Auth-Email",
    "X-Auth-Roles",
    "Authorization",
    "Remote-User",
    "X-Remote-User",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Prefix",
    "X-User-Id",
    "X_Auth_User_Id",
    "Forwarded",
    "X-Real-IP",
    "X-HTTP-Method-Override",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Access-Token",
    "X-Username",
    "X-User",
    "X-Client-IP",
    "True-Client-IP",
    "X-Cluster-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
)
EVERY = frozenset(IdentityDelivery)
SESSION = {user: f"{'t' * 22}.{user.ljust(43, 'x')}" for user in ("anna", "ben")}
"""The value of the session cookie of each user."""
ANNA = session(tokens=replace(session().tokens, access="token.of.anna"))
BEN = replace(
    ANNA, id="s2", user_id="u2", username="ben", roles=("admin",), tokens=replace(ANNA.tokens, access="token.of.ben")
)


@dataclass(frozen=True)
class Ports:
    """A running proxy, and the ports at which it expects the gateway and the app."""

    kind: ForwardAuthProxy
    base: str
    gateway: int
    app: int
    trust: ssl.SSLContext


@dataclass
class Site:
    """A proxy with a gateway and an app behind it, and two signed-in users."""

    base: str
    server: ProxyServer
    app: EchoUpstream
    http: ClientSession
    name: str

    async def ask(self, path: str, user: str = "", *, method: str = "GET", **fields: Any) -> ClientResponse:
        """Sends a request of `user` ("" for a stranger) and reads the answer."""
        cookie = {"Cookie": f"{self.name}={SESSION[user]}; app=1"} if user else {}
        headers = {**cookie, **(fields.get("headers") or OWN)}
        response = await self.http.request(
            method,
            URL(f"{self.base}{path}", encoded=True),
            headers=headers,
            data=fields.get("data"),
            allow_redirects=False,
        )
        await response.read()
        return response

    def arrived(self) -> dict[str, str]:
        """Returns the fields of the newest request at the app; none has two of one name."""
        fields = [(name.lower(), value) for name, value in self.app.requests[-1]["headers"]]
        assert len({name for name, _ in fields}) == len(fields)
        return dict(fields)


@pytest.fixture(scope="module", params=HERE, ids=lambda kind: kind.value)
def ports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    """Yields the proxy."""
    authority, folder = trustme.CA(), tmp_path_factory.mktemp("proxy")
    port, of_gateway, of_app = free_port(), free_port(), free_port()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with ExitStack() as running:
        plain = request.param in (CADDY, ENVOY)
        if plain:
            run_plain = asking_proxies.caddy if request.param is CADDY else asking_proxies.envoy
            running.enter_context(run_plain(folder, port=port, gateway=of_gateway, app=of_app))
        else:
            run = asking_proxies.nginx if request.param is NGINX else asking_proxies.traefik
            running.enter_context(run(folder, port=port, gateway=of_gateway, app=of_app, authority=authority))
        scheme = "http" if plain else "https"
        yield Ports(request.param, f"{scheme}://{asking_proxies.HOST}:{port}", of_gateway, of_app, trust)


@pytest.fixture
async def site(ports: Ports) -> AsyncIterator[Site]:
    """Yields the gateway and the app behind the proxy."""
    app = EchoUpstream(ports.app)
    routes = (
        Route("/unified-admin", app.url, identity=EVERY, allow=AllowedUsers(roles=frozenset({"admin"})), name="Admin"),
        Route("/agent-manager", app.url, identity=EVERY),
    )
    of = tenant(app.url, public_url=ports.base, routes=routes, public_paths=frozenset({"/agent-manager/logo.svg"}))
    await app.start()
    connector = TCPConnector(ssl=ports.trust)
    async with (
        gateway(of, trusted=("127.0.0.1",), forward_auth=ports.kind, port=ports.gateway) as server,
        ClientSession(connector=connector, cookie_jar=DummyCookieJar()) as http,
    ):
        server.sessions.known = {SESSION["anna"]: ANNA, SESSION["ben"]: BEN}
        yield Site(ports.base, server, app, http, cookies.name_of(cookies.Cookie.SESSION, of))
    await app.stop()


async def test_the_app_gets_the_path_as_sent_and_the_identity_of_the_user(site: Site) -> None:
    answer = await site.ask("/agent-manager/a%20b?x=%2f&y", "anna")
    assert answer.status == 200
    assert site.app.requests[-1]["path"] == "/agent-manager/a%20b?x=%2f&y"
    arrived = site.arrived()
    assert arrived["authorization"] == "Bearer token.of.anna"
    assert arrived["cookie"] == "token=token.of.anna; app=1"
    assert (arrived["x-auth-user-id"], arrived["x-auth-username"]) == ("u1", "anna")
    assert site.server.sessions.asked == 0  # the fast path answered


async def test_a_body_reaches_the_app_whole(site: Site) -> None:
    answer = await site.ask("/agent-manager/a", "anna", method="POST", data=b"a" * 300_000)
    assert (answer.status, site.app.requests[-1]["length"]) == (200, 300_000)


async def test_two_users_never_get_the_identity_of_each_other(site: Site) -> None:
    for _ in range(20):
        for user, of in (("anna", ANNA), ("ben", BEN)):
            assert (await site.ask("/agent-manager/same", user)).status == 200
            assert site.arrived()["authorization"] == f"Bearer {of.tokens.access}"
            assert site.arrived()["x-auth-user-id"] == of.user_id
        assert (await site.ask("/agent-manager/same")).status == 401


async def test_a_public_path_gives_the_app_no_identity_after_the_request_of_a_user(site: Site) -> None:
    for user in ("anna", ""):
        assert (await site.ask("/agent-manager/logo.svg", user)).status == 200
        arrived = site.arrived()
        assert not arrived.get("authorization")
        assert "token" not in arrived.get("cookie", "")
        assert not arrived.get("x-auth-user-id")


@pytest.mark.parametrize("path", ["/agent-manager/a", "/agent-manager/logo.svg"])
async def test_no_field_that_a_client_forges_reaches_the_app(site: Site, path: str) -> None:
    forged = {name: "forged" for name in FORGED if name != "X_Auth_User_Id"}
    assert (await site.ask(path, "anna", headers={**OWN, **forged})).status == 200
    assert "forged" not in str(site.arrived())
    await site.ask(path, "anna", headers={**OWN, "X_Auth_User_Id": "forged", "Remote_User": "forged"})
    assert "forged" not in str(site.app.requests)


async def test_no_cookie_of_the_gateway_reaches_the_app(site: Site) -> None:
    names = dict.fromkeys((site.name, "gateway-session", "__Host-gateway-session", "Gateway-Login", "token"))
    cookie = "; ".join(f"{name}={SESSION['anna']}" for name in names)
    answer = await site.ask("/agent-manager/a", headers={**OWN, "Cookie": f"mine=1; {cookie}; other=2"})
    assert answer.status == 200
    assert site.arrived()["cookie"] == "token=token.of.anna; mine=1; other=2"


async def test_an_app_sets_its_own_cookies_and_none_of_the_gateway(site: Site, ports: Ports) -> None:
    secure = "; Path=/; Secure; HttpOnly"
    own = f"mine=1{secure}"
    planted = [f"{name}=x{secure}" for name in (site.name, f" {site.name}", site.name.upper())]
    site.app.fields = [("Set-Cookie", one) for one in (planted[0], own, *planted[1:])]
    answer = await site.ask("/agent-manager/a", "anna")
    got = [value for value in answer.headers.getall("Set-Cookie") if value]
    assert [value for value in got if "gateway" not in value.lower() and value != ";"] == [own]
    if ports.kind is TRAEFIK:
        return  # it removes no single cookie, as the guide says
    for value in got:  # a browser rejects a name with __Host- that is not Secure, and ignores a field without a name
        is_secure = "secure" in value.lower().partition("=x")[2]
        assert value in (own, ";") or (site.name.startswith("__Host-") and not is_secure), value


async def test_an_app_decides_nothing_for_the_whole_origin(site: Site) -> None:
    site.app.fields = [(name, "x") for name in sorted(ORIGIN_WIDE)]
    answer = await site.ask("/agent-manager/a", "anna")
    assert answer.status == 200
    passed = {name.lower() for name, value in answer.headers.items() if value == "x"}
    assert passed & ORIGIN_WIDE == set()


async def test_a_stranger_is_sent_to_the_login_and_back(site: Site) -> None:
    answer = await site.ask("/agent-manager/a?b=c", headers=PAGE)
    assert answer.status == 303
    assert answer.headers["Location"].removeprefix(site.base) == "/-/login?to=/agent-manager/a%3Fb%3Dc"
    assert site.app.requests == []


async def test_a_script_of_a_stranger_reads_the_login_in_json(site: Site) -> None:
    answer = await site.ask("/agent-manager/a")
    assert (answer.status, (await answer.json())["login"]) == (401, f"{site.base}/-/login?to=/agent-manager/a")


@pytest.mark.row("GW-40")
async def test_a_user_who_may_not_use_the_app_reads_its_page(site: Site) -> None:
    denied, passed = [await site.ask("/unified-admin/a", user, headers=PAGE) for user in ("anna", "ben")]
    assert (denied.status, "Admin" in await denied.text(), passed.status) == (403, True, 200)
    assert len(site.app.requests) == 1


async def test_a_page_of_another_site_cannot_use_the_session(site: Site) -> None:
    assert (await site.ask("/agent-manager/a", "anna")).status == 200  # a yes, which nginx may have kept
    for method in ("GET", "POST"):
        assert (await site.ask("/agent-manager/a", "anna", method=method, headers=EVIL)).status == 403
    assert (await site.ask("/agent-manager/a", "anna", method="POST", headers={"Accept": "*/*"})).status == 403
    assert len(site.app.requests) == 1


@pytest.mark.parametrize("path", ["/-/auth", "/-/%61uth", "/-/auth/", "/-/Auth", "/-/auth/agent-manager/a"])
async def test_a_browser_reads_no_token_from_the_page_for_proxies(site: Site, path: str) -> None:
    names = ("X-Original-URI", "X-Forwarded-Uri")
    methods = {"X-Original-Method": "GET", "X-Forwarded-Method": "GET"}
    for name in names:
        for fields in ({name: "/agent-manager/a"}, {name: "/agent-manager/a", **methods}):
            answer = await site.ask(path, "anna", headers={**OWN, **fields})
            assert answer.status in (400, 404)
            assert "token.of.anna" not in str(answer.headers) + await answer.text()


async def test_no_path_that_client_and_app_may_read_differently_reaches_the_app(site: Site, ports: Ports) -> None:
    odd = ("../unified-admin/a", "%2e%2e/a", "/a", "%00", "..%2funified-admin", "a\\..\\b")
    for path in [f"/agent-manager/{one}" for one in odd]:
        reader, writer = await asyncio.open_connection(
            "localhost", int(site.base.rpartition(":")[2]), ssl=ports.trust if site.base.startswith("https") else None
        )
        lines = (
            f"Host: {site.base.partition('://')[2]}",
            "Connection: close",
            f"Cookie: {site.name}={SESSION['anna']}",
        )
        head = [f"GET {path} HTTP/1.1", *lines, *(f"{name}: {value}" for name, value in OWN.items()), "", ""]
        writer.write("\r\n".join(head).encode())
        status = (await reader.read()).split(b" ")[1]
        writer.close()
        joined = ports.kind is TRAEFIK and path == "/agent-manager//a"  # it asks about the path that the app gets
        assert status in ((b"200",) if joined else (b"400", b"403", b"404")), path
    assert [one["path"] for one in site.app.requests if one["path"] != "/agent-manager/a"] == []


async def test_a_request_after_the_end_of_the_session_reaches_no_app_from_the_next_second_on(site: Site) -> None:
    assert (await site.ask("/agent-manager/a", "anna")).status == 200
    site.server.sessions.end(ANNA.id)
    loop = asyncio.get_running_loop()
    ended = loop.time()
    late: list[float] = []
    while not late:
        begun = loop.time()
        status = (await site.ask("/agent-manager/a", "anna")).status
        if status == 401:
            break
        late += [begun] if begun - ended > 1 else []
    assert late == []


async def test_a_websocket_of_the_own_page_works_and_one_of_another_page_does_not(site: Site) -> None:
    url, cookie = f"{site.base}/agent-manager/ws", {"Cookie": f"{site.name}={SESSION['anna']}"}
    async with site.http.ws_connect(url, headers=cookie, origin=site.base) as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"
    assert site.arrived()["authorization"] == "Bearer token.of.anna"
    for origin in ("https://evil.example", None):
        with pytest.raises(WSServerHandshakeError) as refused:
            await site.http.ws_connect(url, headers=cookie, origin=origin)
        assert refused.value.status == 403


async def test_the_gateways_own_pages_pass(site: Site) -> None:
    answer = await site.ask("/-/login", headers=PAGE)
    assert (answer.status, await answer.text()) == (200, "own page")


async def test_a_service_worker_that_the_app_may_not_have_is_unregistered(site: Site) -> None:
    answer = await site.ask("/agent-manager/sw.js", "anna", headers={**OWN, "Service-Worker": "script"})
    assert (answer.status, "unregister" in await answer.text()) == (200, True)
    assert site.app.requests == []


async def test_without_a_gateway_no_request_reaches_an_app(site: Site) -> None:
    await site.server.runner.cleanup()
    assert (await site.ask("/agent-manager/b", "anna")).status >= 500
    assert site.app.requests == []


async def test_nginx_asks_once_in_a_second_about_the_same_request(
    site: Site, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, held = [], site.server.sessions.held

    def counting(of: Tenant, place: SessionKey) -> Session | None:
        asked.append(place)
        return held(of, place)

    monkeypatch.setattr(site.server.sessions, "held", counting)
    for _ in range(20):
        assert (await site.ask("/agent-manager/again", "anna")).status == 200
    assert (len(asked) < 20) is (ports.kind is NGINX)


async def test_nginx_says_that_an_answer_is_for_one_user(site: Site, ports: Ports) -> None:
    said = {}
    for sent in ("", "max-age=60", "public, max-age=60", "no-store", "no-cache"):
        site.app.fields = [("Cache-Control", sent)] if sent else []
        said[sent] = (await site.ask("/agent-manager/a", "anna")).headers.getall("Cache-Control", [])
    if ports.kind is NGINX:
        assert said == {
            "": ["private"],
            "max-age=60": ["private, max-age=60"],
            "public, max-age=60": ["private"],
            "no-store": ["no-store"],
            "no-cache": ["private, no-cache"],
        }
