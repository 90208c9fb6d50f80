"""The factors `email` and `sms` through EFCX's otp-manager, which makes, sends and verifies the codes.

The gateway calls `otp/generate` and `otp/verify` at the tenant's `Otp_Manager_Url`, as EFCX's own login does. EFCX does
not publish how a code is accepted: the channel names it (`accepted`), and nothing else is taken for a yes. The three
words with which a code is rejected are known; any other answer is no verdict.

An otp-manager keeps one code for an address and service identifier, of all its users. So the newest code to an
address replaces the older ones there, and each code is accepted for one owner over all users of the address.
"""

import json
from collections.abc import Mapping
from functools import partial

import structlog

from gateway.crypto.key_ring import Signer
from gateway.delivery.http_calls import Answer, HttpCall, HttpCalls, NoAnswer
from gateway.domain.challenge import Accepted, Asked, Draft, Judgement, Rejected, Unavailable
from gateway.domain.channel import ChannelKind, OtpManagerService, TlsSettings
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.tasks import SingleFlight
from gateway.domain.user import User
from gateway.second_factor.factors import email
from gateway.second_factor.factors.message_code import MessageFactor
from gateway.second_factor.factors.protocol import DeliveryContext
from gateway.second_factor.factors.sms import PhoneFactor
from gateway.second_factor.used_codes import MARK_LIFE, Redemption, UsedCodes

PURPOSE = "otp-manager"
"""The purpose for which the `Signer` is made."""
LOGIN = "LOGIN"
"""`purpose` in each request."""
_REJECTED = {
    "OTP_INVALID": Problem.WRONG_CODE,
    "OTP_EXPIRED": Problem.CODE_EXPIRED,
    "OTP_MAX_ATTEMPTS": Problem.LIMIT_EXCEEDED,
}
log = structlog.get_logger(__name__)


class OtpManagerFactor(MessageFactor):
    """What both factors share; see `protocol.Factor`."""

    channel = ChannelKind.OTP_MANAGER

    def __init__(self, http_calls: HttpCalls, signer: Signer) -> None:
        self._http_calls = http_calls
        self._signer = signer
        self._under_way: SingleFlight[Judgement] = SingleFlight()

    async def challenge(self, user: User, enrolment: Enrolment, delivery: DeliveryContext) -> Asked | Unavailable:
        """Asks for a code. A request that the otp-manager may have got counts as sent, and its code works."""
        policy = delivery.tenant.policy
        more = {"channelType": self.kind.value.upper(), "otpExpiry": delivery.expiry}
        call = _call(delivery, "generate", enrolment, {**more, "otpMaxAttempts": policy.otp_max_attempts})
        if isinstance(call, Unavailable):
            return call
        answer = await self._http_calls.send(call)
        asked = Asked("", delivery.now + delivery.expiry)
        if isinstance(answer, NoAnswer):
            return asked if answer.unknown else Unavailable(answer.reason)
        if answer.succeeded and _word(answer) not in _REJECTED:
            return asked
        return _no_verdict(delivery, answer)

    async def verify(
        self, state: str, user: User, enrolment: Enrolment, delivery: DeliveryContext, entry: str
    ) -> Judgement:
        """Asks for a verdict. An entry that is sent twice at once, as by a double click, is asked once."""
        call = _call(delivery, "verify", enrolment, {"otpCode": entry})
        if isinstance(call, Unavailable):
            return call
        channel = delivery.channel.service_identifier if delivery.channel else ""
        mark = self._signer.sign(entry, delivery.tenant.id, channel, enrolment.address.casefold())
        name = (delivery.tenant.id, user.id, delivery.challenge, entry)
        return await self._under_way.join(name, partial(self._ask, call, delivery, mark))

    async def redeem(self, value: str, used: UsedCodes, by: Redemption) -> ProblemDetail | None:
        """Uses up the code of the address, by one owner of all its users."""
        alone = await used.once.consume(by.tenant.id, ("otp-manager", value), by.owner, MARK_LIFE)
        return None if alone else ProblemDetail(Problem.WRONG_CODE)

    async def _ask(self, call: HttpCall, delivery: DeliveryContext, mark: str) -> Judgement:
        answer = await self._http_calls.send(call)
        if isinstance(answer, NoAnswer):
            return Unavailable(answer.reason)
        word, service = _word(answer), delivery.channel.service if delivery.channel else None
        if isinstance(word, str) and (problem := _REJECTED.get(word)):
            return Rejected(problem)
        found = answer.json_object() if answer.succeeded else None
        if found and isinstance(service, OtpManagerService) and _accepts(found, service.accepted):
            return Accepted(mark)
        return _no_verdict(delivery, answer)


class OtpManagerEmailFactor(OtpManagerFactor):
    """A code that an otp-manager mails."""

    kind = FactorKind.EMAIL
    label = email.EmailFactor.label
    icon = email.EmailFactor.icon

    async def enrol(self, user: User, given: str, delivery: DeliveryContext) -> Draft | Rejected:
        """The one address in `given`, or `BAD_ADDRESS`."""
        return email.draft(given)


class OtpManagerSmsFactor(OtpManagerFactor, PhoneFactor):
    """A code that an otp-manager sends to a phone."""


def _call(
    delivery: DeliveryContext, act: str, enrolment: Enrolment, more: Mapping[str, object]
) -> HttpCall | Unavailable:
    """The request for `act`. EFCX writes phone numbers without the plus sign."""
    channel, url = delivery.channel, delivery.tenant.keycloak.otp_manager_url
    if channel is None or not isinstance(channel.service, OtpManagerService) or not url:
        return Unavailable("no otp-manager is configured")
    body = {
        "customerChannelIdentifier": enrolment.address.removeprefix("+"),
        "channelServiceIdentifier": channel.service_identifier,
        "appName": channel.service.app_name,
        "purpose": LOGIN,
        **more,
    }
    return HttpCall(
        "POST",
        f"{url}otp/{act}",
        channel.service.timeout,
        headers=(("Content-Type", "application/json"), ("tenantid", delivery.tenant.id)),
        body=json.dumps(body).encode(),
        tls=channel.service.tls or TlsSettings(),
    )


def _word(answer: Answer) -> object:
    """`message` of an answer, None if it has none."""
    found = answer.json_object()
    return found.get("message") if found else None


def _accepts(found: Mapping[str, object], accepted: Mapping[str, str | int | bool]) -> bool:
    """Whether every key of `accepted` is in `found`, with the very value and type."""
    values = ((_inner(found, key), value) for key, value in accepted.items())
    return bool(accepted) and all(type(given) is type(value) and given == value for given, value in values)


def _inner(found: object, key: str) -> object:
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _no_verdict(delivery: DeliveryContext, answer: Answer) -> Unavailable:
    log.warning("otp_manager_gave_no_verdict", tenant=delivery.tenant.id, status=answer.status)
    return Unavailable(f"the otp-manager answered with status {answer.status} and neither yes nor no")
