"""A code is verified by the channel that sent it, whatever the tenant or the operator changed since."""

from dataclasses import dataclass, field, replace

import pytest

from gateway.domain.challenge import Accepted, Asked, Judgement, Rejected, Unavailable
from gateway.domain.channel import Channel, ChannelKind, ChannelType
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, Method
from gateway.domain.problem import Problem
from gateway.domain.user import User
from gateway.login.state_machine import Step
from gateway.second_factor.factors import table
from gateway.second_factor.factors.message_code import MessageFactor
from gateway.second_factor.factors.protocol import DeliveryContext
from gateway.settings.presets import PRESETS
from tests.fixtures.full_login_harness import CHANNEL, LoginBrowser, LoginHarness
from tests.fixtures.registered_user import EMAIL, MAILBOX, at_the_code, with_mailbox

pytestmark = pytest.mark.row("NX-06")
EFCX = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=300)
FIRST = Channel("first@example.com", ChannelType.EMAIL, ChannelKind.OTP_MANAGER)
SECOND = Channel("second@example.com", ChannelType.EMAIL, ChannelKind.OTP_MANAGER)
CODE = "135791"


@dataclass
class ServiceFactor(MessageFactor):
    """A factor whose service makes and verifies the codes; records the channel of each call."""

    sent: list[str] = field(default_factory=list)
    verified: list[str] = field(default_factory=list)
    kind = FactorKind.EMAIL
    label = "Code by email"
    channel = ChannelKind.OTP_MANAGER

    async def challenge(self, user: User, enrolment: Enrolment, delivery: DeliveryContext) -> Asked | Unavailable:
        assert delivery.channel
        self.sent.append(delivery.channel.service_identifier)
        return Asked("", delivery.now + delivery.expiry)

    async def verify(
        self, state: str, user: User, enrolment: Enrolment, delivery: DeliveryContext, entry: str
    ) -> Judgement:
        if delivery.channel is None:
            return Unavailable("no service to ask")
        self.verified.append(delivery.channel.service_identifier)
        return Accepted(delivery.challenge) if entry == CODE else Rejected()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> ServiceFactor:
    """Returns the factor of channels of kind otp-manager."""
    made, build = ServiceFactor(), table.build
    monkeypatch.setattr(table, "build", lambda *services: build(*services, made))
    return made


async def at_a_code(channel: Channel) -> tuple[LoginHarness, LoginBrowser]:
    """Returns a login whose code was sent by `channel`."""
    login_harness = await with_mailbox(replace(EFCX, methods=(Method(FactorKind.EMAIL, channel.service_identifier),)))
    change(login_harness, channel)
    return login_harness, await at_the_code(login_harness)


def change(login_harness: LoginHarness, tenants: Channel, *others: Channel) -> None:
    """Configures these channels and no other; the tenant names the first one from now on."""
    login_harness.channels = {one.service_identifier: one for one in (tenants, *others)}
    method = Method(FactorKind.EMAIL, tenants.service_identifier)
    policy = replace(login_harness.tenant.policy, methods=(method,))
    login_harness.tenant = replace(login_harness.tenant, policy=policy)


AS_FIRST = replace(FIRST, service_identifier=CHANNEL.service_identifier)
"""The name of the channel for mail, now of another kind."""


@pytest.mark.parametrize("channels", [(FIRST, CHANNEL), (FIRST,), (AS_FIRST,)], ids=["other", "removed", "other kind"])
async def test_a_code_by_mail_is_accepted_although_the_tenant_now_has_a_service(
    service: ServiceFactor, channels: tuple[Channel, ...]
) -> None:
    login_harness, browser = await at_a_code(CHANNEL)
    change(login_harness, *channels)
    wrong = await browser.act(Step.VERIFY, code=CODE)
    assert wrong.problem_detail
    assert wrong.problem_detail.problem is Problem.WRONG_CODE
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))).step is Step.DONE
    assert service.verified == []


async def test_a_code_of_one_service_is_verified_there_although_the_tenant_now_names_another_one(
    service: ServiceFactor,
) -> None:
    login_harness, browser = await at_a_code(FIRST)
    change(login_harness, SECOND, FIRST)
    assert (await browser.act(Step.VERIFY, code=CODE)).step is Step.DONE
    assert (service.sent, service.verified) == ([FIRST.service_identifier], [FIRST.service_identifier])


@pytest.mark.parametrize(
    "channels",
    [(CHANNEL,), (SECOND,), (replace(CHANNEL, service_identifier=FIRST.service_identifier),)],
    ids=["mail", "another service", "other kind"],
)
async def test_a_code_of_a_service_that_is_no_longer_configured_costs_no_attempt_and_a_new_code_works(
    service: ServiceFactor, channels: tuple[Channel, ...]
) -> None:
    login_harness, browser = await at_a_code(FIRST)
    change(login_harness, *channels)
    for _ in range(EFCX.otp_max_attempts + 1):
        rejected = await browser.act(Step.VERIFY, code=CODE)
        assert rejected.problem_detail
        assert (rejected.step, rejected.problem_detail.problem) == (Step.VERIFY, Problem.CODE_EXPIRED)
    assert service.verified == []
    login_harness.clock.advance(EFCX.resend_cooldown)
    await browser.act(Step.VERIFY, "resend")
    code = login_harness.mailed(MAILBOX.address) or CODE
    assert (await browser.act(Step.VERIFY, code=code)).step is Step.DONE


async def test_after_a_channel_became_one_of_another_type_the_tenants_present_one_sends(
    service: ServiceFactor,
) -> None:
    login_harness, browser = await at_a_code(FIRST)
    change(login_harness, SECOND, replace(FIRST, type=ChannelType.SMS))
    login_harness.clock.advance(EFCX.resend_cooldown)
    await browser.act(Step.VERIFY, "resend")
    assert service.sent == [FIRST.service_identifier, SECOND.service_identifier]
    assert (await browser.act(Step.VERIFY, code=CODE)).step is Step.DONE
    assert service.verified == [SECOND.service_identifier]


async def test_no_kind_of_factor_accepts_an_entry_without_the_channel_that_sent_the_code() -> None:
    login_harness = LoginHarness(EFCX)
    factors = login_harness.services.challenges._factors
    sending = {(kind, by): one for (kind, by), one in factors.items() if one.sends and by}
    assert {by for _, by in sending} >= {ChannelKind.SMTP, ChannelKind.SMS_HTTP, ChannelKind.OTP_MANAGER}
    for (kind, by), factor in sending.items():
        delivery = replace(delivery_of(login_harness), sent_by=by)
        found = await factor.verify("", User("anna", "anna"), Enrolment(kind, "a@example.com"), delivery, CODE)
        assert isinstance(found, Unavailable | Rejected), (kind, by)


def delivery_of(login_harness: LoginHarness) -> DeliveryContext:
    """Returns the circumstances of an entry, without a channel."""
    services = login_harness.services
    return services.delivery(login_harness.tenant, None, reference="")
