"""Tests of the gateway as EFCX's otp-manager, asked by a program that behaves as EFCX's login."""

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.crypto.key_ring import Signer
from gateway.domain.channel import Channel, ChannelKind, ChannelType, OtpManagerService
from gateway.domain.configuration import Address, OtpManagerSettings
from gateway.domain.policy import FactorKind
from gateway.domain.secret import Secret
from gateway.observe.audit import AuditEvent
from gateway.otp_manager_server import LARGEST, REGISTERED, OtpManagerServer
from gateway.second_factor.challenges import Denied, Verified
from gateway.second_factor.factors.otp_manager import OtpManagerEmailFactor
from gateway.settings.presets import PRESETS
from tests.fixtures.challenge_harness import ChallengeHarness, at_otp_manager
from tests.fixtures.config_folder import TENANT as TENANT_FILE
from tests.fixtures.efcx_login import GENERAL, TEXTS, EfcxLogin
from tests.fixtures.full_login_harness import CHANNEL, LoginHarness
from tests.fixtures.http_service import open_calls
from tests.fixtures.ports import free_port
from tests.fixtures.registered_user import EMAIL, at_the_code, with_mailbox

pytestmark = [pytest.mark.row("NX-07"), pytest.mark.attack("F9")]
SECRET = "0123456789abcdef" * 2
WRONG = "fedcba9876543210" * 2
ANNA = "anna@example.com"
MANY = 200


@dataclass
class Bench:
    """A gateway that serves as otp-manager, and EFCX."""

    harness: LoginHarness
    efcx: EfcxLogin
    port: int

    @property
    def url(self) -> str:
        """Returns the `Otp_Manager_Url`."""
        return f"http://127.0.0.1:{self.port}/{SECRET}/"

    @property
    def kept(self) -> dict[str, Any]:
        """Returns everything in the store that does not belong to the otp-manager."""
        kept = self.harness.store._kept
        return {key: copy.copy(value) for key, value in kept.items() if "otp-manager" not in key}

    def code(self, address: str = ANNA) -> str:
        """Returns the newest code mailed to an address."""
        return self.harness.mailed(address)

    def wrong(self, number: int = 1) -> str:
        """Returns another code."""
        return f"{(int(self.code()) + number) % 10**6:06}"

    async def post(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Returns status and message of a request."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with (
            aiohttp.ClientSession() as http,
            http.post(
                f"http://127.0.0.1:{self.port}{path}", data=raw, headers=headers or {"tenantid": "expertflow"}
            ) as response,
        ):
            text = await response.text()
            assert "Set-Cookie" not in response.headers
            return response.status, json.loads(text)["message"] if text else ""


def generate(**changes: object) -> dict[str, object]:
    """Returns EFCX's request for a code."""
    body = {
        "customerChannelIdentifier": ANNA,
        "channelType": "EMAIL",
        "channelServiceIdentifier": CHANNEL.service_identifier,
        "appName": "UNIFIED_ADMIN",
        "otpExpiry": 120,
        "otpMaxAttempts": 3,
        "purpose": "LOGIN",
    }
    return {**body, **changes}


@asynccontextmanager
async def serving(harness: LoginHarness, *, clients: str = "127.0.0.0/8") -> AsyncIterator[int]:
    """Serves on a free port."""
    port = free_port()
    settings = OtpManagerSettings(Address("127.0.0.1", port), Secret(SECRET), (ip_network(clients),))
    runner = web.AppRunner(OtpManagerServer(harness.services, settings).application())
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield port
    finally:
        await runner.cleanup()


@pytest.fixture
async def bench(harness: LoginHarness) -> AsyncIterator[Bench]:
    """Yields EFCX, which uses the gateway by nothing but its `Otp_Manager_Url`."""

    async def register(username: str, contact: str) -> None:
        harness.realm.attributes[username] = {REGISTERED: contact}

    async with serving(harness) as port:
        tenant = copy.deepcopy(TENANT_FILE)
        tenant["tenantId"] = "expertflow"
        tenant["tenantSettings"]["keyCloak"]["Otp_Manager_Url"] = f"http://127.0.0.1:{port}/{SECRET}/"
        yield Bench(harness, EfcxLogin(tenant, register), port)


@pytest.fixture
async def harness() -> LoginHarness:
    """Returns a gateway with its users."""
    return await with_mailbox(replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=300))


# ---------------------------------------------------------------------- EFCX's login


async def test_a_user_of_efcx_registers_and_signs_in_by_a_code_of_the_gateway(bench: Bench) -> None:
    assert await bench.efcx.begin("anna", ANNA) == "OTP required."
    assert await bench.efcx.enter("anna", bench.code()) == "Signed in."


async def test_a_registered_user_of_efcx_gets_a_code_at_each_login(bench: Bench) -> None:
    await bench.efcx.begin("anna", ANNA)
    await bench.efcx.enter("anna", bench.code())
    assert await bench.efcx.begin("anna") == "OTP required."
    assert await bench.efcx.enter("anna", bench.code()) == "Signed in."


async def test_efcx_shows_its_own_texts_for_wrong_expired_and_blocked_codes(bench: Bench) -> None:
    await bench.efcx.begin("anna", ANNA)
    right = bench.code()
    texts = [await bench.efcx.enter("anna", bench.wrong(n)) for n in range(1, 6)]
    assert texts == [TEXTS["OTP_INVALID"]] * 4 + [TEXTS["OTP_MAX_ATTEMPTS"]]
    assert await bench.efcx.enter("anna", right) == TEXTS["OTP_MAX_ATTEMPTS"]


async def test_a_code_expires_as_efcx_asks(bench: Bench) -> None:
    await bench.efcx.begin("anna", ANNA)
    bench.harness.clock.advance(120)
    assert await bench.efcx.enter("anna", bench.code()) == TEXTS["OTP_EXPIRED"]


async def test_the_mail_names_the_user(bench: Bench) -> None:
    await bench.efcx.begin("anna", ANNA)
    assert "for the user anna at" in bench.harness.mails.messages[-1].text


async def test_a_code_works_once(bench: Bench) -> None:
    await bench.efcx.begin("anna", ANNA)
    code = bench.code()
    await bench.efcx.enter("anna", code)
    assert await bench.efcx.enter("anna", code) == TEXTS["OTP_INVALID"]


async def test_of_200_parallel_requests_with_the_right_code_one_is_accepted(bench: Bench) -> None:
    await bench.post(f"/{SECRET}/otp/generate", generate(otpMaxAttempts=5))
    code = bench.code()
    answers = await asyncio.gather(
        *(bench.post(f"/{SECRET}/otp/verify", {**generate(), "otpCode": code}) for _ in range(MANY))
    )
    assert [a for a in answers if a[0] == 200] == [(200, "OTP_VERIFIED")]


async def test_of_200_parallel_wrong_codes_no_more_are_judged_than_efcx_allows(bench: Bench) -> None:
    await bench.post(f"/{SECRET}/otp/generate", generate(otpMaxAttempts=3))
    wrong = [bench.wrong(n) for n in range(1, MANY)]
    await asyncio.gather(*(bench.post(f"/{SECRET}/otp/verify", {**generate(), "otpCode": code}) for code in wrong))
    assert (await bench.post(f"/{SECRET}/otp/verify", {**generate(), "otpCode": bench.code()}))[0] == 429


# ---------------------------------------------------------------------- bounds


async def test_expiry_and_attempts_are_at_most_the_tenants(bench: Bench) -> None:
    await bench.post(f"/{SECRET}/otp/generate", generate(otpExpiry=86_400, otpMaxAttempts=1000))
    verify = {**generate(), "otpCode": bench.wrong()}
    answers = [await bench.post(f"/{SECRET}/otp/verify", verify) for _ in range(6)]
    assert [a[1] for a in answers] == ["OTP_INVALID"] * 4 + ["OTP_MAX_ATTEMPTS"] * 2
    bench.harness.clock.advance(301)
    assert (await bench.post(f"/{SECRET}/otp/verify", verify))[1] == "OTP_EXPIRED"


async def test_a_second_code_within_the_cooldown_is_not_sent(bench: Bench) -> None:
    assert await bench.post(f"/{SECRET}/otp/generate", generate()) == (200, "OTP_SENT")
    assert await bench.post(f"/{SECRET}/otp/generate", generate()) == (429, "OTP_COOLDOWN")
    assert len(bench.harness.mails.messages) == 1


async def test_a_newer_code_replaces_the_older_one(bench: Bench) -> None:
    await bench.efcx.begin("anna", ANNA)
    old = bench.code()
    bench.harness.clock.advance(61)
    await bench.efcx.begin("anna")
    assert await bench.efcx.enter("anna", old) == TEXTS["OTP_INVALID"]
    assert await bench.efcx.enter("anna", bench.code()) == "Signed in."


async def test_parallel_requests_for_codes_send_one(bench: Bench) -> None:
    await asyncio.gather(*(bench.post(f"/{SECRET}/otp/generate", generate()) for _ in range(50)))
    assert len(bench.harness.mails.messages) == 1


async def test_no_more_codes_are_sent_in_a_row_than_the_tenants_maximum(bench: Bench) -> None:
    for _ in range(12):
        await bench.post(f"/{SECRET}/otp/generate", generate())
        bench.harness.clock.advance(61)
    assert len(bench.harness.mails.messages) == bench.harness.tenant.policy.max_sends


# ---------------------------------------------------------------------- who may ask for what


async def test_a_contact_that_keycloak_does_not_know_gets_no_code(bench: Bench) -> None:
    found = await bench.post(f"/{SECRET}/otp/generate", generate(customerChannelIdentifier="stranger@example.net"))
    assert found == (403, "CONTACT_NOT_ALLOWED")
    assert bench.harness.mails.messages == []


async def test_an_unverified_profile_address_gets_no_code(bench: Bench) -> None:
    person = bench.harness.realm.people["anna"]
    person.user = replace(person.user, email_verified=False)
    assert (await bench.post(f"/{SECRET}/otp/generate", generate()))[0] == 403


@pytest.mark.parametrize("contact", ["a b@example.com", 'x" email:"y', "username:admin", "\\", "nobody", "", "a" * 255])
async def test_an_odd_contact_gets_no_code(bench: Bench, contact: str) -> None:
    found = await bench.post(f"/{SECRET}/otp/generate", generate(customerChannelIdentifier=contact))
    assert found[0] in (400, 403)
    assert bench.harness.mails.messages == []


@pytest.mark.parametrize(
    ("changes", "tenant"),
    [
        ({}, "another"),
        ({}, ""),
        ({"channelServiceIdentifier": "other@example.com"}, "expertflow"),
        ({"channelServiceIdentifier": "own"}, "expertflow"),
        ({"channelType": "SMS"}, "expertflow"),
        ({"otpExpiry": 0}, "expertflow"),
        ({"otpExpiry": True}, "expertflow"),
        ({"otpMaxAttempts": "3"}, "expertflow"),
        ({"appName": None}, "expertflow"),
        ({"purpose": ""}, "expertflow"),
    ],
)
async def test_a_request_that_efcx_never_sends_is_rejected(
    bench: Bench, changes: dict[str, object], tenant: str
) -> None:
    found = await bench.post(f"/{SECRET}/otp/generate", generate(**changes), {"tenantid": tenant})
    assert found[0] == 400
    assert bench.harness.mails.messages == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"[" * 16_000, b"\xff", b" " * (LARGEST + 1)], ids=range(7))
async def test_a_body_that_is_no_request_is_rejected(bench: Bench, body: bytes) -> None:
    assert (await bench.post(f"/{SECRET}/otp/generate", body))[0] == 400


@pytest.mark.parametrize(
    "path",
    [
        f"/{WRONG}/otp/generate",
        "/otp/generate",
        "//otp/generate",
        f"/{SECRET[:-1]}/otp/generate",
        f"/{SECRET}a/otp/generate",
        f"/{SECRET.upper()}/otp/generate",
        f"/{SECRET}/otp/other",
        f"/{SECRET}/otp/generate/",
        f"/{SECRET}/otp/generate?x=1",
        f"/{SECRET}/other/generate",
        f"/x/{SECRET}/otp/generate",
        "/",
    ],
)
async def test_every_other_address_is_a_bare_404(bench: Bench, path: str) -> None:
    assert await bench.post(path, generate()) == (404, "")
    assert bench.harness.mails.messages == []


async def test_a_client_that_is_not_listed_gets_a_bare_404(harness: LoginHarness) -> None:
    async with serving(harness, clients="192.0.2.0/24") as port:
        bench = Bench(harness, EfcxLogin({}, None), port)  # type: ignore[arg-type]
        assert await bench.post(f"/{SECRET}/otp/generate", generate()) == (404, "")
        found = await bench.post(
            f"/{SECRET}/otp/generate", generate(), {"tenantid": "expertflow", "X-Forwarded-For": "192.0.2.1"}
        )
        assert found == (404, "")


async def test_get_is_a_bare_404(bench: Bench) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{bench.url}otp/generate") as response:
        assert (response.status, await response.text()) == (404, "")


@pytest.mark.parametrize(
    "changes",
    [
        {"appName": "AGENT_DESK"},
        {"purpose": "RESET"},
        {"customerChannelIdentifier": "ben@example.com"},
        {"otpCode": None},
        {"otpCode": ["0"]},
    ],
)
async def test_a_code_is_right_only_for_its_contact_app_and_purpose(bench: Bench, changes: dict[str, object]) -> None:
    await bench.post(f"/{SECRET}/otp/generate", generate())
    body = {**generate(), "otpCode": bench.code(), **changes}
    assert await bench.post(f"/{SECRET}/otp/verify", body) == (400, "OTP_INVALID")


async def test_a_code_that_was_never_sent_is_invalid(bench: Bench) -> None:
    body = {**generate(), "otpCode": "123456"}
    assert await bench.post(f"/{SECRET}/otp/verify", body) == (400, "OTP_INVALID")


async def test_a_disabled_user_gets_no_code(bench: Bench) -> None:
    bench.harness.realm.disabled.add("anna")
    assert await bench.efcx.begin("anna", ANNA) == GENERAL
    assert bench.harness.mails.messages == []


# ---------------------------------------------------------------------- apart from the gateway's own logins


async def test_nothing_that_belongs_to_a_login_of_the_gateway_changes(bench: Bench) -> None:
    await at_the_code(bench.harness)
    before = bench.kept
    assert before
    await bench.efcx.begin("anna", ANNA)
    for number in (1, 2):
        await bench.efcx.enter("anna", bench.wrong(number))
    await bench.efcx.enter("anna", bench.code())
    after = bench.kept
    assert {key: after.get(key) for key in before} == before
    assert {key.partition(":")[0] for key in after.keys() - before.keys()} == {"used"}  # the mark of EFCX's own code


async def test_a_code_of_efcx_is_none_of_the_gateway_and_the_other_way_round(bench: Bench) -> None:
    await bench.efcx.begin("anna", ANNA)
    assert await bench.efcx.enter("anna", bench.code()) == "Signed in."
    assert not [key for key in bench.kept if key.startswith("session")]


async def test_each_code_and_verdict_is_audited_without_code_and_address(bench: Bench) -> None:
    await bench.efcx.begin("anna", ANNA)
    code = bench.code()
    await bench.efcx.enter("anna", bench.wrong())
    await bench.efcx.enter("anna", code)
    events = [line.event for line in bench.harness.audit]
    assert events == [AuditEvent.CODE_SENT, AuditEvent.CODE_REJECTED, AuditEvent.CODE_ACCEPTED]
    assert all(line.details["through"] == "otp-manager" for line in bench.harness.audit)
    assert not any(word in str(bench.harness.audit) for word in (code, ANNA))


async def test_an_address_that_a_relay_refuses_is_no_sent_code(bench: Bench) -> None:
    bench.harness.mails.refuses = "no relay"
    assert await bench.efcx.begin("anna", ANNA) == GENERAL


# ---------------------------------------------------------------------- both ways


async def test_the_gateways_client_signs_a_user_in_by_another_gateways_server(bench: Bench) -> None:
    service = OtpManagerService(accepted={"message": "OTP_VERIFIED"})
    channel = Channel(CHANNEL.service_identifier, ChannelType.EMAIL, ChannelKind.OTP_MANAGER, service=service)
    client = ChallengeHarness()
    client.tenant = at_otp_manager(bench.url)
    async with open_calls() as http_calls:
        client.serve(OtpManagerEmailFactor(http_calls, Signer(client.ring, "otp-manager")), channel)
        case = client.case("anna", address=ANNA)
        challenge = await client.send(case)
        wrong = await client.answer(case, challenge, bench.wrong())
        assert isinstance(wrong, Denied)
        found = await client.answer(case, challenge, bench.code())
    assert isinstance(found, Verified)
    assert found.factor is FactorKind.EMAIL
