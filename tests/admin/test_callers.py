"""Tests of the callers of the API: no token but that of a listed client itself, with the role, is taken."""

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientSession

from gateway.demo.identity_provider import StandInClient
from tests.fixtures.api_site import AUDIENCE, AUTOMATION, TENANT, TOKEN, ApiSite

ONE = f"/tenants/{TENANT}"
CHANGE = {"tenantSettings": {"twoFAConfigs": {"otpExpiry": 90}}}
TokenOf = Callable[[ApiSite], Awaitable[str]]


def add_client(site: ApiSite, client_id: str, **fields: object) -> None:
    kept = [one for one in site.realm.clients if one.client_id != client_id]
    site.realm.clients = [*kept, StandInClient(client_id, "made up", **fields)]  # type: ignore[arg-type]


async def of_an_administrator_by_password(site: ApiSite) -> str:
    password = next(one.password for one in site.realm.users if one.username == "admin")
    add_client(site, "admin-cli", direct_access=True)
    return await site.token("admin-cli", grant_type="password", username="admin", password=password)


async def of_an_administrator_by_the_listed_client(site: ApiSite) -> str:
    password = next(one.password for one in site.realm.users if one.username == "admin")
    return await site.token(AUTOMATION, grant_type="password", username="admin", password=password)


async def of_the_app_that_users_sign_in_to(site: ApiSite) -> str:
    password = next(one.password for one in site.realm.users if one.username == "admin")
    return await site.token("cim", grant_type="password", username="admin", password=password)


async def of_another_client(site: ApiSite) -> str:
    add_client(site, "other", management=(), roles=("admin",), audience=(AUDIENCE,))
    return await site.token("other")


async def of_the_client_for_another_audience(site: ApiSite) -> str:
    add_client(site, AUTOMATION, management=(), roles=("admin",), audience=("account",))
    return await site.token()


async def of_the_client_without_the_role(site: ApiSite) -> str:
    add_client(site, AUTOMATION, management=("manage-users",), roles=("supervisor",), audience=(AUDIENCE,))
    return await site.token()


async def of_the_client_that_lost_the_role(site: ApiSite) -> str:
    token = await site.token()
    add_client(site, AUTOMATION, management=(), roles=(), audience=(AUDIENCE,))
    return token


FORBIDDEN: tuple[TokenOf, ...] = (
    of_an_administrator_by_password,
    of_an_administrator_by_the_listed_client,
    of_the_app_that_users_sign_in_to,
    of_another_client,
    of_the_client_for_another_audience,
    of_the_client_without_the_role,
    of_the_client_that_lost_the_role,
)


async def nothing(_site: ApiSite) -> str:
    return ""


async def no_token(_site: ApiSite) -> str:
    return "no.token.at-all"


async def the_operations_token(_site: ApiSite) -> str:
    return TOKEN


async def an_altered_token(site: ApiSite) -> str:
    head, claims, signature = (await site.token()).split(".")
    return ".".join((head, claims, signature[::-1]))


UNKNOWN: tuple[TokenOf, ...] = (nothing, no_token, the_operations_token, an_altered_token)


@pytest.mark.row("GW-16")
@pytest.mark.attack("F1")
@pytest.mark.parametrize("token_of", FORBIDDEN, ids=lambda one: one.__name__)
async def test_no_other_token_of_the_realm_is_taken_on_any_route(api_site: ApiSite, token_of: TokenOf) -> None:
    raw, token = api_site.file.read_bytes(), await token_of(api_site)
    routes = [("GET", "/tenants", None), ("GET", ONE, None), ("PATCH", ONE, CHANGE), ("DELETE", ONE, None)]
    for method, path, body in routes:
        answer = await api_site.call(method, path, body, token=token)
        assert (answer.status, answer.code) == (403, "forbidden"), (method, path)
    assert len(api_site.audit.of("api_denied")) == len(routes)
    assert api_site.file.read_bytes() == raw


@pytest.mark.row("GW-16")
@pytest.mark.attack("F1")
@pytest.mark.parametrize("token_of", UNKNOWN, ids=lambda one: one.__name__)
async def test_without_a_token_of_the_realm_nothing_is_read(api_site: ApiSite, token_of: TokenOf) -> None:
    answer = await api_site.call("PATCH", ONE, CHANGE, token=await token_of(api_site))
    assert (answer.status, answer.code) == (401, "not-authenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.row("GW-16")
@pytest.mark.attack("F1")
async def test_a_session_cookie_is_no_token(api_site: ApiSite) -> None:
    cookie = f"token={await api_site.token()}; gateway-session=anything"
    answer = await api_site.call("PATCH", ONE, CHANGE, token="", Cookie=cookie)
    assert answer.status == 401


@pytest.mark.row("GW-16")
@pytest.mark.attack("F1")
@pytest.mark.parametrize("token", ["", "another", "Bearer"])
async def test_the_operations_port_takes_the_operations_token_alone(api_site: ApiSite, token: str) -> None:
    for given in (token, await api_site.token()):
        answer = await api_site.operate("GET", "/tenants", token=given)
        assert (answer.status, answer.code) == (401, "not-authenticated")


@pytest.mark.row("GW-16")
@pytest.mark.attack("F1")
async def test_a_tenant_that_lists_no_client_has_no_api(api_site: ApiSite) -> None:
    token = await api_site.token()
    del api_site.settings.tenant["gateway"]["api"]
    api_site.settings.write()
    await api_site.live.look()
    assert (await api_site.call("GET", ONE, token=token)).status == 404
    async with ClientSession() as http, http.get(f"{api_site.public}/-/api/openapi.json") as answer:
        assert answer.status == 404


@pytest.mark.row("GW-16")
async def test_an_expired_token_is_unknown(api_site: ApiSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_site.realm, "access_life", -100)
    answer = await api_site.call("GET", ONE)
    assert (answer.status, answer.code) == (401, "not-authenticated")


@pytest.mark.row("GW-16")
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"a": 1, "a": 2}', "application/json", 400),
        (b'{"a": NaN}', "application/json", 400),
        (b'{"a": 1e999}', "application/json", 400),
        (b'{"a": "\\ud800"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[]", "application/json", 422),
        (b"{}", "text/plain", 415),
        (b"{}", "application/json; charset=utf-16", 415),
        (b" " * 300_000, "application/json", 413),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_an_odd_body_has_its_own_answer(api_site: ApiSite, body: bytes, content_type: str, status: int) -> None:
    answer = await api_site.call("PATCH", ONE, body, Content_Type=content_type)
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("application/problem+json")


@pytest.mark.row("GW-16")
async def test_an_unknown_address_and_a_wrong_method_are_problems(api_site: ApiSite) -> None:
    assert (await api_site.call("GET", "/nothing")).code == "not-found"
    answer = await api_site.call("PUT", ONE)
    assert (answer.code, answer.headers["Allow"]) == ("method-not-allowed", "GET, PATCH, DELETE")
    assert (await api_site.call("GET", f"{ONE}?a=1")).code == "bad-request"
