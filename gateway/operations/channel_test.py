"""Sends one test message through a channel, and shows the conversation with its server.

It needs no store, no running gateway and, for most kinds, no tenant. A mail is a plain text. Any other kind sends what
its factor sends: a message with a code that no login accepts. Code and secrets are masked in the conversation.
"""

from collections.abc import Iterable
from dataclasses import replace

from gateway.crypto.key_ring import KEY_BYTES, Key, KeyRing
from gateway.delivery import smtp
from gateway.delivery.conversation import Conversation
from gateway.delivery.http_calls import Answer, HttpCall, HttpCalls, NoAnswer
from gateway.delivery.phone_numbers import REGIONS
from gateway.delivery.web_services import WebServiceCalls
from gateway.domain.challenge import Asked, Draft, Elsewhere, Rejected
from gateway.domain.channel import Channel
from gateway.domain.configuration import Address, Configuration, GatewaySettings, StoreSettings
from gateway.domain.policy import FactorKind, Policy, serves
from gateway.domain.ports import SystemRandom
from gateway.domain.secret import Secret, secrets_in
from gateway.domain.tenant import Branding, Credentials, KeycloakAccess, Tenant
from gateway.domain.user import User
from gateway.domain.web_services import WebServices
from gateway.second_factor.factors import table
from gateway.services import open_services

CODES = 10_000
"""Random numbers below this limit are no codes."""
_ADVICE = {
    401: "the service rejects the user name, password or token of the channel",
    403: "the service rejects the user name, password or token of the channel, or this address of the gateway",
    404: "correct the URL of the channel",
    405: "correct the method of the channel",
}
_NOWHERE = Credentials("", Secret(""))
PLACEHOLDER = Tenant(
    id="test",
    name=smtp.TEST_NAME,
    active=True,
    public_url="http://localhost",
    routes=(),
    keycloak=KeycloakAccess("", "", "", _NOWHERE, _NOWHERE),
    policy=Policy(preset="", enabled=True, methods=()),
    branding=Branding(smtp.TEST_NAME),
)
"""The tenant of a test before any tenant is configured."""


def sends(channel: Channel) -> bool:
    """Whether there is a test message for this kind of channel."""
    return _factor_of(channel) is not None


def _factor_of(channel: Channel) -> FactorKind | None:
    """The factor that sends through the channel, None if it serves none that sends."""
    return next((kind for kind, of in table.TYPES.items() if of.sends and serves(channel.type, kind)), None)


def tenant_of(channel: Channel, tenants: Iterable[Tenant]) -> Tenant:
    """The first tenant that uses the channel: some services have their address in the tenant."""
    using = (one for one in tenants if any(m.channel == channel.service_identifier for m in one.policy.offered))
    return next(using, PLACEHOLDER)


async def run(channel: Channel, to: str, tenant: Tenant, conversation: Conversation) -> str:
    """Send a test message to `to`; return why it was not sent, "" if the server took it.

    `to` is an address; for a service that knows the users' addresses, the name of a user.
    """
    conversation.hide(*secrets_in(channel), *secrets_in(tenant))
    everywhere = replace(tenant.phone_numbers, countries=REGIONS)  # the operator may use any phone of their own
    tenant = replace(tenant, phone_numbers=everywhere)
    why = await _sent(channel, to, tenant, conversation)
    return conversation.clean(why)


async def _sent(channel: Channel, to: str, tenant: Tenant, conversation: Conversation) -> str:
    if channel.relays:
        return await smtp.send_test(channel, to, conversation)
    kind = _factor_of(channel)
    if kind is None:
        return "the channel sends no messages"
    here = Address("", 0)
    configuration = Configuration(GatewaySettings(here, here, StoreSettings(Secret("memory://"))), (tenant,))
    random = _ToldRandom(conversation)
    ring = KeyRing((Key("00000000", random.token_bytes(KEY_BYTES)),))
    async with open_services(lambda: configuration, ring, random=random) as opened:
        calls = _Calls(conversation)
        services = replace(opened, http_calls=calls)
        try:
            delivery = services.delivery(tenant, channel, reference="")
            factor = services.challenges.factor(delivery, kind)
            user = User(to, to)
            draft: Draft | Rejected = Draft(kind)
            if isinstance(channel.service, WebServices):  # it knows the addresses of the user named `to`
                user = replace(user, attributes=tuple((name, to) for name in channel.service.attributes))
                known = await WebServiceCalls(calls).check(channel.service, user)
                if isinstance(known, NoAnswer):
                    return f"{known.reason}{calls.advice}"
            else:
                draft = await factor.enrol(user, to, delivery)
            if isinstance(draft, Rejected):
                return f"{to} is no address for this channel: {draft.problem.value}"
            asked = await factor.challenge(user, draft.as_enrolment(), replace(delivery, challenge="test"))
        finally:
            await calls.close()
    if isinstance(asked, Elsewhere):
        return f"the service ends each login: {asked.path}"
    if isinstance(asked, Asked):
        return calls.last.reason if isinstance(calls.last, NoAnswer) else ""
    return f"{asked.reason}{calls.advice}"


class _Calls(HttpCalls):
    """Calls that remember the last result: a factor takes a message that may have been sent for sent."""

    last: Answer | NoAnswer | None = None

    async def send(self, call: HttpCall) -> Answer | NoAnswer:
        """As any call."""
        self.last = await super().send(call)
        return self.last

    @property
    def advice(self) -> str:
        """What to check after the response to the last call; "" without a response."""
        if not isinstance(self.last, Answer):
            return ""
        status = self.last.status
        if status in _ADVICE:
            return f"; {_ADVICE[status]}"
        if 300 <= status < 400:
            return "; the gateway follows no redirect: correct the URL of the channel"
        return "; the response is not what the channel takes for success" if self.last.succeeded else ""


class _ToldRandom(SystemRandom):
    """Random numbers whose codes are masked in the conversation."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def below(self, limit: int) -> int:
        number = SystemRandom.below(limit)
        if limit >= CODES:
            self._conversation.hide(str(number).zfill(len(str(limit - 1))))
        return number
