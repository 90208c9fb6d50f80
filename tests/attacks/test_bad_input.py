"""Tests with invalid input: the gateway returns a clear message, loses nothing and never answers 500."""

import json
from io import BytesIO
from pathlib import Path

import pytest

from gateway.settings.load import load
from tests.fixtures.installation import Folder
from tests.fixtures.person import JSON, Person, code_for
from tests.fixtures.site import Site

ADDRESS = "bad-input@example.com"
MEGABYTE = "x" * 1024**2


async def at_code_page(site: Site, agent: Person) -> str:
    """Signs a new user in as far as the code page and returns the mailed code."""
    user = site.user(email=None)
    await agent.to_code(user.username, user.password, ADDRESS)
    return await code_for(site.mail, ADDRESS)


async def finishes(site: Site, agent: Person) -> None:
    """Asserts that the correct code still completes the login."""
    assert (await agent.do("verify", code=await code_for(site.mail, ADDRESS))).step == "done"


async def post(agent: Person, step: str, body: bytes | str, **headers: str) -> tuple[int, str]:
    """Sends one raw body and returns status and text."""
    data = BytesIO(body.encode() if isinstance(body, str) else body)
    async with agent.http.post(
        f"{agent.base}/-/login/{step}", data=data, headers={**JSON, **headers}, allow_redirects=False
    ) as response:
        return response.status, await response.text()


async def test_broken_yaml_is_reported_with_its_line_and_the_error(light_site: Site) -> None:
    tenant = light_site.settings.path / "tenants" / "expertflow.json"
    tenant.write_text('{"tenantName": "x",\n "tenantId": [,\n}')
    loaded = load(light_site.settings.file)
    assert loaded.configuration is None
    assert any(str(fault).startswith(f"{tenant}:2:") for fault in loaded.errors), loaded.errors


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "listen: [", "a: &a [*a]", "listen: 1\nlisten: 2", "\x00", "!!python/x {}"]
)
def test_any_settings_text_is_answered_with_diagnostics(tmp_path: Path, text: str) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    loaded = load(file)
    assert loaded.configuration is None
    for fault in loaded.errors:
        assert str(fault).startswith(f"{file}:"), fault


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json"])
async def test_a_form_of_a_megabyte_is_refused_and_the_login_continues(
    light_site: Site, kind: str, accept: str
) -> None:
    async with light_site.person() as agent:
        await at_code_page(light_site, agent)
        body = f"code={MEGABYTE}" if "form" in kind else json.dumps({"code": MEGABYTE})
        status, text = await post(agent, "verify", body, **{"Content-Type": kind, "Accept": accept})
        assert status == 413
        assert "larger than this site accepts" in text
        assert (await agent.look()).step == "verify"
        await finishes(light_site, agent)


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", "code=1", 415),
        ("multipart/form-data; boundary=x", "--x\r\n\r\n--x--", 415),
        ("application/xml", "<code/>", 415),
        ("application/x-www-form-urlencoded; charset=utf-16", "c", 415),
        ("application/x-www-form-urlencoded", "code=%ff", 400),
        ("application/x-www-form-urlencoded", "code=1&code=2", 400),
        ("application/x-www-form-urlencoded", "&".join(f"a{n}=1" for n in range(60)), 400),
        ("application/json", "{", 400),
        ("application/json", "[1]", 400),
        ("application/json", '{"code": 1}', 422),
        ("application/json", '{"code": {"a": 1}}', 422),
        ("application/json", '{"code": "1", "code": "2"}', 400),
        ("application/json", "[" * 20_000, 400),
        ("application/json", '{"code": "\\ud800"}', 422),
        ("", "code=1", 415),
    ],
)
async def test_a_body_of_another_content_type_is_refused_and_the_login_continues(
    light_site: Site, kind: str, body: str, status: int
) -> None:
    async with light_site.person() as agent:
        await at_code_page(light_site, agent)
        headers = {"Content-Type": kind} if kind else {"Content-Type": "application/octet-stream"}
        answered, text = await post(agent, "verify", body, **headers)
        assert answered == status, text
        assert json.loads(text)["problem"]["reference"]
        await finishes(light_site, agent)


async def test_a_compressed_body_is_refused(light_site: Site) -> None:
    async with light_site.person() as agent:
        await at_code_page(light_site, agent)
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        assert (await post(agent, "verify", b"\x1f\x8b\x08", **headers))[0] == 415
        await finishes(light_site, agent)


GARBAGE = [
    "x",
    "",
    ".",
    "a.b",
    "A" * 22 + "." + "A" * 43,
    "A" * 22 + "." + "\u00ff" * 43,
    "=" * 200,
    '"quoted"',
    "%00%0d%0a",
    "{}",
    "A" * 7000,
]


@pytest.mark.parametrize("value", GARBAGE, ids=lambda value: value[:12] or "empty")
async def test_garbage_in_the_gateways_cookies_is_ignored(light_site: Site, value: str) -> None:
    names = ("gateway-session", "gateway-login", "gateway-trust", "gateway-browser", "gateway-language", "token")
    cookie = "; ".join(f"{name}={value}" for name in names)
    async with light_site.person() as agent:
        for path in (
            "/unified-admin/",
            "/-/login",
            "/-/login/verify",
            "/-/login/stopped",
            "/-/logout",
            "/-/login/done",
        ):
            response = await agent.get(path, headers={"Accept": "text/html", "Cookie": cookie})
            assert response.status in (200, 303, 400, 403, 431), (path, response.status)
        body = {"csrf": "x", "username": "x", "password": "y", "code": "1", "language": "xx"}
        for path in ("login/password", "login/verify", "logout", "language"):
            async with agent.http.post(
                f"{agent.base}/-/{path}", json=body, headers={**JSON, "Cookie": cookie}, allow_redirects=False
            ) as response:
                assert 400 <= response.status < 500, (path, response.status)


@pytest.mark.parametrize(
    "address",
    [
        "a@example.com\r\nBcc: victim@example.com",
        "a@example.com\n",
        "a\x00@example.com",
        "\x1b[31ma@example.com",
        "a@example.com\u2028x",
        "a@example.com\u0085",
    ],
)
async def test_control_characters_in_an_address_are_refused_and_no_mail_is_sent(light_site: Site, address: str) -> None:
    user = light_site.user(email=None)
    async with light_site.person() as agent:
        await agent.password(user.username, user.password)
        refused = await agent.do("register", address=address)
        assert (refused.status, refused.step) == (422, "register")
        assert (await agent.do("register", address="ok@example.com")).step == "confirm"
    assert not light_site.mail.messages


@pytest.mark.parametrize(("to", "kept"), [("/agent-manager/?a=1", "/agent-manager/?a=1"), ("//evil.example", "/")])
async def test_the_return_path_survives_a_refused_control_character(light_site: Site, to: str, kept: str) -> None:
    user = light_site.user(email=None)
    async with light_site.person(target=to) as agent:
        await agent.password(user.username, user.password)
        refused = await agent.do("register", address="a\tb@example.com")
        assert refused.status == 422
        assert refused.body["to"].startswith(kept)
        assert "evil" not in refused.body["to"]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "@",
        "a@",
        "@example.com",
        "a@b@example.com",
        "a@example.com, b@example.com",
        "a@example.com;b@example.com",
        "A <a@example.com>",
        "a @example.com",
        "a@exa mple.com",
        "a@example..com",
        "a@[127.0.0.1]",
        "a" * 300 + "@example.com",
        "a@" + "b" * 300 + ".com",
        "<script>@example.com",
        "a@example.com%0d%0aBcc:x",
    ],
)
async def test_an_entry_that_is_not_one_address_is_refused_and_stays_in_the_form(
    light_site: Site, address: str
) -> None:
    user = light_site.user(email=None)
    async with light_site.person() as agent:
        await agent.password(user.username, user.password)
        refused = await agent.do("register", address=address)
        assert (refused.status, refused.step, refused.problem) == (422, "register", "bad-address")
        page = await (await agent.submit("register", address=address)).text()
        assert "<script>@" not in page
        assert (await agent.do("register", address="right@example.com")).step == "confirm"
    assert not light_site.mail.messages


@pytest.mark.parametrize(
    "code",
    ["", "   ", "abcdef", "------", "'; DROP TABLE", "\u2460\u2461\u2462", "½½½½½½", "x" * 5000],
    ids=lambda code: ascii(code)[:12],
)
async def test_an_entry_that_is_not_all_digits_does_not_count_as_an_attempt(light_site: Site, code: str) -> None:
    async with light_site.person() as agent:
        await at_code_page(light_site, agent)
        refused = await agent.do("verify", code=code)
        assert (refused.status, refused.step, refused.problem) == (422, "verify", "bad-input")
        assert refused.body["attempts_left"] == 5
        await finishes(light_site, agent)
    assert not light_site.audit.of("code_rejected")


@pytest.mark.parametrize("action", ["cancell", "EDIT", "edit ", "verify", "0"])
async def test_an_unknown_action_is_not_treated_as_the_main_action(light_site: Site, action: str) -> None:
    user = light_site.user(email=None)
    async with light_site.person() as agent:
        await agent.password(user.username, user.password)
        await agent.do("register", address=ADDRESS)
        asked = await agent.do("confirm", action)
        assert (asked.status, asked.step, asked.problem) == (422, "confirm", "bad-input")
        assert light_site.mail.to(ADDRESS) == []
        assert (await agent.do("confirm", "send")).step == "verify"


async def test_an_expired_login_says_so_and_keeps_the_return_path(light_site: Site) -> None:
    async with light_site.person("/agent-manager/x?y=1") as agent:
        code = await at_code_page(light_site, agent)
        light_site.clock.advance(901)
        for answer in (
            await agent.do("verify", code=code),
            await agent.do("verify", "resend"),
            await agent.do("verify", "cancel"),
        ):
            assert (answer.status, answer.step, answer.problem) == (403, "password", "login-expired")
            assert answer.body["to"] == "/agent-manager/x?y=1"
        page = await (await agent.submit("verify", code=code)).text()
        assert 'name="password"' in page
        assert "timed out" in page


async def test_a_login_page_left_open_overnight_still_signs_in(light_site: Site) -> None:
    user = light_site.user(email=None)
    async with light_site.person() as agent:
        await agent.look()
        light_site.clock.advance(14 * 3600)
        late = await agent.password(user.username, "wrong")
        assert late.problem == "wrong-password"  # the gateway checked the session, and did not answer "form expired"


async def test_the_log_compares_the_origin_of_a_rejected_form_with_the_tenants(light_site: Site) -> None:
    async with light_site.person() as agent:
        code = await at_code_page(light_site, agent)
        body = json.dumps({"code": code, "csrf": agent.csrf})
        elsewhere = {"Content-Type": "application/json", "Origin": "http://127.0.0.1:1"}
        assert (await post(agent, "verify", body, **elsewhere))[0] == 403
    (line,) = light_site.audit.of("form_rejected")
    assert (line["origin"], line["expected"]) == ("http://127.0.0.1:1", light_site.base)
    assert "public_url" in line["hint"]


@pytest.mark.parametrize("csrf", ["", "x", "\u00e9", "A" * 43, None])
async def test_a_form_without_the_token_of_its_browser_does_nothing(light_site: Site, csrf: str | None) -> None:
    async with light_site.person() as agent:
        code = await at_code_page(light_site, agent)
        body = {"code": code} if csrf is None else {"code": code, "csrf": csrf}
        status, text = await post(agent, "verify", json.dumps(body), **{"Content-Type": "application/json"})
        assert (status, json.loads(text)["problem"]["code"]) == (403, "form-expired")
        await finishes(light_site, agent)
    assert light_site.audit.of("form_rejected")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "nonsense"},
    ],
)
async def test_a_form_of_another_origin_does_nothing_even_with_the_token(
    light_site: Site, headers: dict[str, str]
) -> None:
    async with light_site.person() as agent:
        body = {"code": await at_code_page(light_site, agent), "csrf": agent.csrf, "to": agent.target}
        status, text = await post(agent, "verify", json.dumps(body), **{"Content-Type": "application/json", **headers})
        assert (status, json.loads(text)["problem"]["code"]) == (403, "form-expired")
        await finishes(light_site, agent)


async def test_a_browser_without_cookies_gets_an_explanation_and_no_redirect_loop(
    light_site: Site,
) -> None:
    user = light_site.user(email=None)
    async with light_site.person() as agent:
        for _ in range(2):
            await agent.look()
            agent.http.cookie_jar.clear()
            refused = await agent.password(user.username, user.password)
            assert (refused.status, refused.step, refused.problem) == (403, "password", "no-cookie")
            assert "Allow cookies" in refused.body["problem"]["text"]


async def test_the_csrf_token_of_another_browser_is_rejected(light_site: Site) -> None:
    async with light_site.person() as agent, light_site.person() as other:
        await at_code_page(light_site, agent)
        await other.look()
        agent.csrf, kept = other.csrf, agent.csrf
        refused = await agent.do("verify", "resend")
        assert (refused.status, refused.problem) == (403, "form-expired")
        agent.csrf = kept
        await finishes(light_site, agent)


NASTY = [
    *("", " ", "\u202e", "𝕒", "'\"<>&", "%s%n{0}", "../../etc", "${jndi:x}", "{{7*7}}", "-1", "\ufffe"),
    "9" * 400,
    "a" * 2000,
]
FIELDS = ["username", "password", "address", "code", "action", "to", "purpose", "remember", "factor", "new_password"]


@pytest.mark.parametrize("value", NASTY, ids=lambda value: ascii(value)[:16])
async def test_hostile_text_in_any_field_of_any_step_causes_no_server_error(light_site: Site, value: str) -> None:
    user = light_site.user(email=None)
    steps = ("password", "register", "confirm", "verify", "stopped")
    async with light_site.person() as agent:
        for state in range(3):
            for step in steps:
                for number, field in enumerate(FIELDS, NASTY.index(value)):
                    if (
                        number + state
                    ) % 2:  # each field gets each value in each step both ways, in one state or another
                        status = (await agent.do(step, **{field: value})).status
                    else:
                        status = (await agent.submit(step, **{field: value})).status
                    assert status < 500, (state, step, field)
            if state == 0:
                assert (await agent.password(user.username, user.password)).step == "register"
            elif state == 1:
                assert (await agent.look()).step in ("register", "confirm", "verify")
                await agent.do("register", address=ADDRESS)
                await agent.do("confirm", "send")
        assert (await agent.look()).step == "verify"


@pytest.mark.parametrize("step", ["nothing", "done", "..", "%2e%2e", "verify/x", "verify%00"])
async def test_an_unknown_step_is_not_found(light_site: Site, step: str) -> None:
    async with light_site.person() as agent:
        response = await agent.get(f"/-/login/{step}", headers=JSON)
        assert response.status in (200, 400, 403, 404) if step == "done" else response.status in (400, 404)
        assert (await post(agent, step, "{}", **{"Content-Type": "application/json"}))[0] in (400, 403, 404)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "PROPFIND", "OPTIONS"])
async def test_other_methods_are_refused_on_the_gateways_own_pages(light_site: Site, method: str) -> None:
    async with light_site.person() as agent:
        for path in ("/-/login", "/-/login/verify", "/-/logout", "/-/language", "/-/nothing"):
            async with agent.http.request(method, f"{agent.base}{path}", headers=JSON) as response:
                assert response.status in (404, 405), (method, path, response.status)


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/%2f/evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/-/logout",
        "/x\r\nSet-Cookie: a=b",
        "/" + "a" * 5000,
    ],
)
async def test_a_return_path_to_another_host_is_replaced_by_the_start_page(light_site: Site, target: str) -> None:
    light_site.change(is2FAEnabled=False)
    user = light_site.user(email=None)
    async with light_site.person() as agent:
        response = await agent.submit("password", to=target, username=user.username, password=user.password)
        if response.status != 422:  # the gateway refuses control characters before it reads the target
            assert (response.status, response.headers["Location"]) == (303, "/unified-admin/")


def test_a_folder_without_tenants_is_reported_by_name(tmp_path: Path, light_site: Site) -> None:
    settings: Folder = light_site.settings
    (settings.path / "tenants" / "expertflow.json").unlink()
    loaded = load(settings.file)
    assert any("holds no tenant file" in str(fault) for fault in loaded.errors)
