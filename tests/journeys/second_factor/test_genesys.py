"""Genesys as its vendor documents it: the check service names the contacts, and the gateway or the services make codes.

The gateway runs on the stand-in identity provider. A login of each kind also runs on a real Keycloak.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.genesys_services import APP_CODE, CHECK, CODE, SEND, GenesysServices, genesys_services
from tests.fixtures.installation import CHANNEL, Folder, folder
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.mail import MailServer
from tests.fixtures.person import Answer, Person, code_for, wrong
from tests.fixtures.site import Site, whole
from tests.fixtures.stand_in_keycloak import StandIn
from tests.fixtures.upstream import EchoUpstream

AGENT = "https://help.example.com/agent"
SPENT = "https://help.example.com/spent"
PATHS = {"agent": AGENT, "spent": SPENT, "error": "https://help.example.com/error"}
GENESYS = {
    "is2FAEnabled": True,
    "preset": "genesys",
    "contactService": "services",
    "onNoContact": "path:agent",
    "otpMaxAttempts": 2,
    "onMaxVerify": "path:spent",
    "maxSends": 3,
    "onMaxSends": "path:agent",
}
INTERNAL = {
    **GENESYS,
    "codeGeneration": "INTERNAL",
    "methods": [{"channelType": "EMAIL", "channelServiceIdentifier": CHANNEL}],
    "otpLength": 7,
    "otpExpiry": 300,
}
EXTERNAL = {**GENESYS, "codeGeneration": "EXTERNAL"}


def configure(settings: Folder, services: GenesysServices, two_factor: dict[str, Any], **channel: Any) -> Folder:
    """Sets up a tenant of the preset."""
    settings.gateway["path_addresses"] = list(PATHS.values())
    settings.gateway["channels"].append(services.settings(**channel))
    settings.tenant["gateway"]["paths"] = dict(PATHS)
    settings.tenant["tenantSettings"]["twoFAConfigs"] = dict(two_factor)
    return settings


@pytest.fixture
async def services() -> AsyncIterator[GenesysServices]:
    """Yields the running services."""
    async with genesys_services() as running:
        yield running


@asynccontextmanager
async def on_stand_in(
    path: Path,
    stand_in: StandIn,
    mail: MailServer,
    app: EchoUpstream,
    services: GenesysServices,
    two_factor: dict[str, Any],
    **channel: Any,
) -> AsyncIterator[Site]:
    settings = folder(path, keycloak=stand_in.server, mail=mail, app=app.url)
    async with whole(configure(settings, services, two_factor, **channel), stand_in.server, mail, app) as site:
        yield site


@pytest.fixture
async def internal(
    tmp_path: Path, stand_in: StandIn, mail_server: MailServer, echo_upstream: EchoUpstream, services: GenesysServices
) -> AsyncIterator[Site]:
    """Codes of the gateway, sent to the contacts of the service."""
    async with on_stand_in(tmp_path, stand_in, mail_server, echo_upstream, services, INTERNAL) as site:
        yield site


@pytest.fixture
async def external(
    tmp_path: Path, stand_in: StandIn, mail_server: MailServer, echo_upstream: EchoUpstream, services: GenesysServices
) -> AsyncIterator[Site]:
    """Codes of the services."""
    async with on_stand_in(tmp_path, stand_in, mail_server, echo_upstream, services, EXTERNAL) as site:
        yield site


def customer(site: Site, services: GenesysServices, **methods: str) -> User:
    """Makes a user with these verified methods."""
    user = site.user()
    services.customers[user.username] = methods
    return user


async def sign_in(agent: Person, user: User) -> Answer:
    return await agent.password(user.username, user.password)


async def ended_at(agent: Person) -> str:
    """Returns the address to which the login of a browser leads."""
    return (await agent.get("/-/login/stopped")).headers["Location"]


# ---------------------------------------------------------------------- codes of the gateway


@pytest.mark.row("GE-01", "GE-13", "GE-22")
async def test_the_gateway_sends_its_code_to_the_address_of_the_check_service(
    internal: Site, services: GenesysServices
) -> None:
    user = customer(internal, services, email="verified@bank.example")
    async with internal.person() as agent:
        answer = await sign_in(agent, user)
        assert (answer.step, answer.body["digits"]) == ("verify", 7)
        code = await code_for(internal.mail, "verified@bank.example", 1)
        assert (await agent.do("verify", code=code)).step == "done"
        assert (await agent.get("/unified-admin/")).status == 200
    assert [name for name, _ in services.asked] == [CHECK]


@pytest.mark.row("GE-26")
async def test_the_entry_page_has_the_length_of_the_code(internal: Site, services: GenesysServices) -> None:
    user = customer(internal, services, email="verified@bank.example")
    async with internal.person() as agent:
        await sign_in(agent, user)
        page = await agent.page()
    assert 'maxlength="7"' in page or "--places:7" in page
    assert len(await code_for(internal.mail, "verified@bank.example", 1)) == 7


@pytest.mark.row("GE-13", "GE-17")
async def test_without_a_value_the_gateway_sends_the_code_to_the_verified_address_of_the_user(
    internal: Site, services: GenesysServices
) -> None:
    user = customer(internal, services, email="")
    assert user.email
    async with internal.person() as agent:
        assert (await sign_in(agent, user)).step == "verify"
        await code_for(internal.mail, user.email, 1)


@pytest.mark.row("GE-13")
async def test_the_contact_of_the_service_is_never_enrolled(internal: Site, services: GenesysServices) -> None:
    user = customer(internal, services, email="first@bank.example")
    for address in ("first@bank.example", "second@bank.example"):
        services.customers[user.username] = {"email": address}
        async with internal.person() as agent:
            await sign_in(agent, user)
            assert (await agent.do("verify", code=await code_for(internal.mail, address, 1))).step == "done"


@pytest.mark.row("GE-03", "GE-19")
async def test_a_wrong_code_is_replaced_by_a_new_one_until_the_maximum_of_sends(
    internal: Site, services: GenesysServices
) -> None:
    user = customer(internal, services, email="resent@bank.example")
    async with internal.person() as agent:
        await sign_in(agent, user)
        first = await code_for(internal.mail, "resent@bank.example", 1)
        assert (await agent.do("verify", code=wrong(first))).problem == "code-resent"
        await code_for(internal.mail, "resent@bank.example", 2)
        answer = await agent.do("verify", code=first)  # of the old message
        assert (answer.step, answer.problem) == ("verify", "code-resent")
        last = await code_for(internal.mail, "resent@bank.example", 3)
        answer = await agent.do("verify", code=wrong(last))
        assert (answer.step, answer.problem, answer.body["location"]) == ("stopped", "max-sends", AGENT)
    assert len(internal.mail.to("resent@bank.example")) == 3


@pytest.mark.row("GE-03", "GE-04", "GE-28")
async def test_an_expired_code_is_replaced_by_a_new_one(internal: Site, services: GenesysServices) -> None:
    user = customer(internal, services, email="late@bank.example")
    async with internal.person() as agent:
        await sign_in(agent, user)
        code = await code_for(internal.mail, "late@bank.example", 1)
        internal.clock.advance(301)
        assert (await agent.do("verify", code=code)).problem == "code-resent"
        assert (await agent.do("verify", code=await code_for(internal.mail, "late@bank.example", 2))).step == "done"


@pytest.mark.row("GE-20")
async def test_with_ask_the_maximum_of_one_code_ends_at_its_path(internal: Site, services: GenesysServices) -> None:
    internal.change(onWrongCode="ask")
    user = customer(internal, services, email="ask@bank.example")
    async with internal.person() as agent:
        await sign_in(agent, user)
        code = wrong(await code_for(internal.mail, "ask@bank.example", 1))
        assert (await agent.do("verify", code=code)).problem == "wrong-code"
        answer = await agent.do("verify", code=code)
    assert (answer.step, answer.body["location"]) == ("stopped", SPENT)


@pytest.mark.row("GE-19")
async def test_with_ask_the_maximum_of_sends_ends_at_its_path(internal: Site, services: GenesysServices) -> None:
    internal.change(onWrongCode="ask", maxSends=1)
    user = customer(internal, services, email="sends@bank.example")
    async with internal.person() as agent:
        await sign_in(agent, user)
        assert (await agent.do("verify", "resend")).problem == "max-sends"  # the code still works
        internal.clock.advance(301)
        answer = await agent.do("verify", "resend")
    assert (answer.step, answer.body["location"]) == ("stopped", AGENT)


@pytest.mark.row("GE-18")
@pytest.mark.parametrize("methods", [None, {}, {"authenticator": ""}, {"fax": "+1"}], ids=str)
async def test_a_user_without_a_verified_contact_is_led_to_the_path(
    internal: Site, services: GenesysServices, methods: dict[str, str] | None
) -> None:
    user = internal.user()
    if methods is not None:
        services.customers[user.username] = methods
    async with internal.person() as agent:
        answer = await sign_in(agent, user)
        assert (answer.step, answer.body["location"]) == ("stopped", AGENT)
        assert (await agent.get("/unified-admin/")).status == 303
    assert await asyncio.to_thread(internal.keycloak.admin.soon_signed_out, user.id)


@pytest.mark.row("GE-13", "GE-16")
@pytest.mark.parametrize(
    ("status", "leads_to"), [("error", PATHS["error"]), ("Spent", SPENT), ("other", ""), ("incorrect code", "")]
)
async def test_any_other_status_of_the_check_service_is_a_path_and_never_leads_to_registration(
    internal: Site, services: GenesysServices, status: str, leads_to: str
) -> None:
    services.statuses[CHECK] = status
    user = internal.user()
    async with internal.person() as agent:
        answer = await sign_in(agent, user)
    assert (answer.step, answer.body.get("location", "")) == ("stopped", leads_to)


@pytest.mark.attack("F8")
async def test_while_the_check_service_is_not_understood_no_user_signs_in(
    internal: Site, services: GenesysServices
) -> None:
    services.bodies[CHECK] = b"<html>down</html>"
    user = customer(internal, services, email="down@bank.example")
    async with internal.person() as agent:
        response = await agent.submit("password", username=user.username, password=user.password)
        assert response.status == 503
        assert (await agent.get("/unified-admin/")).status == 303
        services.bodies.clear()
        assert (await sign_in(agent, user)).step == "verify"


# ---------------------------------------------------------------------- codes of the services


@pytest.mark.row("GE-01", "GE-14", "GE-15", "GE-22", "GE-31")
async def test_the_services_send_and_check_a_code(external: Site, services: GenesysServices) -> None:
    user = customer(external, services, SMS="+49 30 1234567")
    async with external.person() as agent:
        answer = await sign_in(agent, user)
        assert (answer.step, answer.body["factor"], answer.body["any_length"]) == ("verify", "external-sms", True)
        assert services.sent == [(user.username, "SMS")]
        assert (await agent.do("verify", code=services.codes[user.username])).step == "done"
        assert (await agent.get("/unified-admin/")).status == 200
    assert services.asked == [
        (CHECK, {"customer": user.username}),
        (SEND, {"customer": user.username, "TwoFactorAuthSelectedMethod": "SMS"}),
        (CODE, {"customer": user.username, "authCode_nbest1": services.codes[user.username]}),
    ]


@pytest.mark.row("GE-02")
async def test_with_several_methods_the_user_chooses_and_may_choose_again(
    external: Site, services: GenesysServices
) -> None:
    user = customer(external, services, email="a@bank.example", SMS="+4930", authenticator="")
    async with external.person() as agent:
        answer = await sign_in(agent, user)
        assert answer.step == "choose"
        offered = [method["factor"] for method in answer.body["methods"]]
        assert offered == ["external-email", "external-sms", "external-app"]
        assert services.sent == []
        assert (await agent.do("choose", factor="external-email")).body["factor"] == "external-email"
        assert (await agent.do("verify", "other-method")).step == "choose"
        assert (await agent.do("choose", factor="external-email")).step == "verify"
        assert services.sent == [(user.username, "Email")]  # the code still works, so it is not sent again
        await agent.do("verify", "other-method")
        assert (await agent.do("choose", factor="external-sms")).body["factor"] == "external-sms"
        assert services.sent[1:] == [(user.username, "SMS")]
        assert (await agent.do("verify", code=services.codes[user.username])).step == "done"


@pytest.mark.row("GE-02")
@pytest.mark.parametrize("factor", ["", "email", "external-sms", "totp", "external-app "])
async def test_only_an_offered_method_can_be_chosen(external: Site, services: GenesysServices, factor: str) -> None:
    user = customer(external, services, email="", authenticator="")
    async with external.person() as agent:
        await sign_in(agent, user)
        answer = await agent.do("choose", factor=factor)
    assert (answer.step, answer.problem) == ("choose", "bad-input")


@pytest.mark.row("GE-05")
async def test_for_an_authenticator_app_no_code_is_sent(external: Site, services: GenesysServices) -> None:
    user = customer(external, services, authenticator="")
    async with external.person() as agent:
        answer = await sign_in(agent, user)
        assert (answer.step, answer.body["factor"]) == ("verify", "external-app")
        assert answer.body["sent_to"] is None
        assert (await agent.do("verify", "resend")).problem == "bad-input"
        assert (await agent.do("verify", code=APP_CODE)).step == "done"
    assert services.count(SEND) == 0


@pytest.mark.row("GE-05", "GE-20")
@pytest.mark.parametrize("methods", [{"authenticator": ""}, {"SMS": ""}], ids=lambda found: next(iter(found)))
async def test_a_wrong_code_of_the_services_is_asked_again_until_the_maximum(
    external: Site, services: GenesysServices, methods: dict[str, str]
) -> None:
    user = customer(external, services, **methods)
    async with external.person() as agent:
        await sign_in(agent, user)
        sent = list(services.sent)
        assert (await agent.do("verify", code="000000")).problem == "wrong-code"
        answer = await agent.do("verify", code="000000")
    assert (answer.step, answer.body["location"], services.sent) == ("stopped", SPENT, sent)


@pytest.mark.row("GE-19")
async def test_the_maximum_of_sends_holds_over_all_methods(external: Site, services: GenesysServices) -> None:
    user = customer(external, services, email="", SMS="")
    async with external.person() as agent:
        await sign_in(agent, user)
        answer = await agent.do("choose", factor="external-sms")
        for factor in ("external-email", "external-sms", "external-email"):
            await agent.do("verify", "other-method")
            answer = await agent.do("choose", factor=factor)
    assert (answer.step, answer.body["location"], len(services.sent)) == ("stopped", AGENT, 3)


@pytest.mark.row("GE-20")
async def test_the_maximum_of_an_app_holds_after_a_change_of_the_method(
    external: Site, services: GenesysServices
) -> None:
    user = customer(external, services, email="", authenticator="")
    async with external.person() as agent:
        await sign_in(agent, user)
        await agent.do("choose", factor="external-app")
        await agent.do("verify", code="000000")
        await agent.do("verify", "other-method")
        await agent.do("choose", factor="external-email")
        await agent.do("verify", "other-method")
        await agent.do("choose", factor="external-app")
        answer = await agent.do("verify", code="000000")
    assert (answer.step, answer.body["location"]) == ("stopped", SPENT)


@pytest.mark.row("GE-16")
@pytest.mark.parametrize("service", [SEND, CODE])
@pytest.mark.parametrize(("status", "leads_to"), [("error", PATHS["error"]), ("nowhere", "")])
async def test_any_other_status_of_send_and_code_is_a_path(
    external: Site, services: GenesysServices, service: str, status: str, leads_to: str
) -> None:
    services.statuses[service] = status
    user = customer(external, services, email="")
    async with external.person() as agent:
        answer = await sign_in(agent, user)
        if service == CODE:
            answer = await agent.do("verify", code="123456")
        assert (answer.step, answer.body.get("location", "")) == ("stopped", leads_to)
        assert (await agent.get("/unified-admin/")).status == 303


@pytest.mark.row("GE-25")
async def test_after_the_time_out_of_the_service_its_code_is_no_longer_valid(
    external: Site, services: GenesysServices
) -> None:
    user = customer(external, services, email="")
    async with external.person() as agent:
        await sign_in(agent, user)
        external.clock.advance(121)
        assert (await agent.do("verify", code=services.codes[user.username])).problem == "code-expired"
    assert services.count(CODE) == 0


@pytest.mark.attack("F8")
async def test_while_a_service_is_not_understood_an_attempt_costs_nothing(
    external: Site, services: GenesysServices
) -> None:
    user = customer(external, services, email="")
    async with external.person() as agent:
        await sign_in(agent, user)
        services.bodies[CODE] = b"<codeAuthentication><status>success</status>"
        for _ in range(3):
            answer = await agent.do("verify", code=services.codes[user.username])
            assert (answer.problem, answer.body["attempts_left"]) == ("check-failed", 2)
        services.bodies.clear()
        assert (await agent.do("verify", code=services.codes[user.username])).step == "done"


@pytest.mark.row("GE-23", "GE-27")
async def test_the_pages_name_the_external_app_and_take_the_length_set_by_hand(
    tmp_path: Path, stand_in: StandIn, mail_server: MailServer, echo_upstream: EchoUpstream, services: GenesysServices
) -> None:
    own = {"prompt": "Bank Authenticator", "code_digits": 8}
    async with on_stand_in(tmp_path, stand_in, mail_server, echo_upstream, services, EXTERNAL, **own) as site:
        user = customer(site, services, email="", authenticator="")
        async with site.person() as agent:
            answer = await sign_in(agent, user)
            assert [method["label"] for method in answer.body["methods"]] == ["Code by email", "Bank Authenticator"]
            answer = await agent.do("choose", factor="external-app")
            assert (answer.body["digits"], answer.body.get("any_length")) == (8, None)
            assert "Enter the code <bdi>Bank Authenticator</bdi> shows now." in await agent.page()


@pytest.mark.row("GE-20")
@pytest.mark.attack("F29")
async def test_of_200_right_and_200_wrong_entries_at_once_the_service_judges_the_maximum_and_the_login_ends_once(
    tmp_path: Path, stand_in: StandIn, mail_server: MailServer, echo_upstream: EchoUpstream, services: GenesysServices
) -> None:
    most = 8  # the operator locks a user after 10 failures
    policy = {**EXTERNAL, "otpMaxAttempts": most}
    async with on_stand_in(tmp_path, stand_in, mail_server, echo_upstream, services, policy, timeout=60) as site:
        user = customer(site, services, SMS="")
        async with site.person() as agent:
            await sign_in(agent, user)
            tab = await agent.tab()
            services.late = CODE
            right = services.codes[user.username]
            entries = [right] * 200 + [f"{n:06}" for n in range(200)]
            waiting = {asyncio.create_task(tab.post("verify", code=code)) for code in entries}
            while len(waiting) > most:  # the gateway rejects the others alone
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            services.held.set()
            await asyncio.gather(*waiting)
        assert services.count(CODE) == most
        assert len(site.audit.of("session_opened")) + len(site.audit.of("login_stopped")) == 1


async def test_an_act_of_the_account_page_asks_for_the_password(external: Site, services: GenesysServices) -> None:
    user = customer(external, services, authenticator="")
    async with external.person() as agent:
        await sign_in(agent, user)
        await agent.do("verify", code=APP_CODE)
        assert (await agent.act("sign-out-everywhere")).step == "password"


# ---------------------------------------------------------------------- on a real Keycloak


@pytest.mark.keycloak
@pytest.mark.row("GE-01")
@pytest.mark.parametrize("two_factor", [INTERNAL, EXTERNAL], ids=["internal", "external"])
async def test_a_login_of_each_kind_on_keycloak(
    settings: Folder, site: Site, services: GenesysServices, two_factor: dict[str, Any]
) -> None:
    configure(
        settings, services, two_factor, check={"customer_parameter": "customer", "production": services.url(CHECK)}
    )
    site.configuration = settings.load()
    user = customer(site, services, email="real@bank.example")
    async with site.person() as agent:
        answer = await sign_in(agent, user)
        assert answer.step == "verify"
        own = two_factor is INTERNAL
        code = await code_for(site.mail, "real@bank.example", 1) if own else services.codes[user.username]
        assert (await agent.do("verify", code=code)).step == "done"
        assert (await agent.get("/unified-admin/")).status == 200
