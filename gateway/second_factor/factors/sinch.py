"""The factors of a `sinch` channel.

By text message, the Sinch Verification API makes, sends and checks the code: the gateway never knows it and keeps the
id of the verification only. A new code is a new verification, and no entry is reported for an older one.

The status of a verification tells that *a* reported entry was right, not which one. So entries for one verification are
reported one after another, over all replicas, and one entry alone is redeemed for a challenge.

By mail, the gateway makes the code and sends it with the sender of the channel: Sinch's own API for mail is not public.
"""

import json
from dataclasses import replace
from math import inf

from gateway.crypto.key_ring import Signer
from gateway.delivery.sinch import SinchApi, Undecided, Verdict, Verification
from gateway.domain.challenge import Accepted, Asked, Judgement, Rejected, Unavailable
from gateway.domain.channel import ChannelKind, SinchService
from gateway.domain.enrolment import Enrolment
from gateway.domain.errors import Conflict
from gateway.domain.ports import Lock
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.user import User
from gateway.second_factor.factors.email import EmailFactor
from gateway.second_factor.factors.message_code import MessageFactor
from gateway.second_factor.factors.protocol import DeliveryContext, Digits
from gateway.second_factor.factors.sms import PhoneFactor, may_text
from gateway.second_factor.used_codes import Redemption, UsedCodes

PURPOSE = "sinch-entry"
"""The purpose for which the `Signer` is made."""
_DIGITS = Digits(4, 10)
_PROBLEMS = {
    Verdict.WRONG: Problem.WRONG_CODE,
    Verdict.EXPIRED: Problem.CODE_EXPIRED,
    Verdict.REPLACED: Problem.CODE_REPLACED,
}
_CALLS = 4
"""Calls that one entry can cost: report and status, each once more with the service's time."""


class SinchEmailFactor(EmailFactor):
    """A code by mail."""

    channel = ChannelKind.SINCH


class SinchFactor(MessageFactor, PhoneFactor):
    """A code by text message."""

    channel = ChannelKind.SINCH
    remote = True

    def __init__(self, *, api: SinchApi, lock: Lock, signer: Signer) -> None:
        self._api = api
        self._lock = lock
        self._signer = signer

    @classmethod
    def digits(cls, otp_length: int) -> Digits:
        """As many as the service likes."""
        return _DIGITS

    async def challenge(self, user: User, enrolment: Enrolment, delivery: DeliveryContext) -> Asked | Unavailable:
        """Starts a verification. Its code lives as long as the policy says, or as the service says if that is less."""
        verification = _verification(enrolment, delivery)
        if verification is None:
            return self._not_sent(delivery, "the tenant's method names no channel of Sinch")
        if not may_text(enrolment.address, delivery.tenant.phone_numbers):
            return self._not_sent(delivery, "phone_numbers of the tenant no longer allows this number")
        found = await self._api.start(verification, expiry=delivery.expiry, language=delivery.language)
        if isinstance(found, Undecided):
            return self._not_sent(delivery, found.why)
        life = min(delivery.expiry, inf if found.expiry is None else found.expiry)
        return Asked(json.dumps({"verification": found.id}), delivery.now + life)

    async def verify(
        self, state: str, user: User, enrolment: Enrolment, delivery: DeliveryContext, entry: str
    ) -> Judgement:
        """Reports the entry."""
        verification, id = _verification(enrolment, delivery), _id(state)
        if verification is None or id is None:
            return Unavailable("another service sent this code", Problem.CHECK_FAILED)
        if not _DIGITS.fits(entry):
            return Rejected()
        timeout = verification.service.timeout
        try:
            async with self._lock.hold(f"sinch:{id}", wait=timeout, ttl=_CALLS * timeout):
                said = await self._api.report(verification, id, entry)
        except Conflict:
            return Unavailable("another entry is being checked", Problem.CHECK_FAILED)
        match said:
            case Undecided(why=why):
                return Unavailable(why, Problem.CHECK_FAILED)
            case Verdict.RIGHT:
                return Accepted(f"{delivery.challenge}/{self._signer.sign(delivery.challenge, entry)}")
            case _:
                return Rejected(_PROBLEMS[said])

    async def redeem(self, value: str, used: UsedCodes, by: Redemption) -> ProblemDetail | None:
        """Uses up the challenge, by one owner and one entry."""
        challenge, _, entry = value.partition("/")
        return await super().redeem(challenge, used, replace(by, owner=f"{by.owner}/{entry}"))


def _verification(enrolment: Enrolment, delivery: DeliveryContext) -> Verification | None:
    channel = delivery.channel
    if channel is None or not isinstance(channel.service, SinchService):
        return None
    return Verification(channel.service, channel.service_identifier, enrolment.address, delivery.challenge)


def _id(state: str) -> str | None:
    try:
        found = json.loads(state)["verification"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None
