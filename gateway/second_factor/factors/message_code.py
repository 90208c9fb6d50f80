"""Makes and verifies a code that travels in a message.

The code itself is in the message only. The gateway keeps a keyed digest bound to tenant, challenge, user and address:
a code sent for one of them is invalid for another. A code of 6 digits has 20 bits, so an attacker with a dump of the
store can reverse any plain hash in seconds. The digest is therefore an HMAC under a key outside the store.
"""

import json
from dataclasses import dataclass, field

from gateway.crypto.key_ring import Signer
from gateway.domain.challenge import Accepted, Judgement, Rejected, Unavailable
from gateway.domain.ports import Random
from gateway.domain.problem import Problem, ProblemDetail
from gateway.second_factor.factors.protocol import DeliveryContext, Digits, Factor, exactly
from gateway.second_factor.used_codes import Redemption, UsedCodes

PURPOSE = "message-code"
"""The purpose for which the `Signer` is made."""
SLOWEST = 30.0
"""Seconds a service may take that do not count for the code's life. No code lives longer than these and `expiry`."""


class MessageFactor(Factor):
    """What all factors share whose code travels in a message."""

    sends = True

    @classmethod
    def digits(cls, otp_length: int) -> Digits:
        """As many as the policy says."""
        return exactly(otp_length)

    async def redeem(self, value: str, used: UsedCodes, by: Redemption) -> ProblemDetail | None:
        """Uses up the challenge, by one owner."""
        return None if await used.mark("challenge", value, by) else ProblemDetail(Problem.WRONG_CODE)


@dataclass(frozen=True, slots=True)
class NewCode:
    """A code to send, and the state to keep of it (JSON text with the digest only)."""

    code: str = field(repr=False)
    state: str


def random_digits(count: int, random: Random) -> str:
    """A uniformly random code of exactly `count` digits."""
    return str(random.below(10**count)).zfill(count)


def new_code(signer: Signer, delivery: DeliveryContext, user_id: str, address: str) -> NewCode:
    """A random code of `delivery.digits` digits for this challenge, user and address."""
    code = random_digits(delivery.digits, delivery.random)
    digest = signer.sign(code, delivery.tenant.id, delivery.challenge, user_id, address)
    return NewCode(code, json.dumps({"digest": digest}))


def expires_at(delivery: DeliveryContext, sent_at: float | None) -> float:
    """The end of a code's life, which begins when a service took the message; None: it may have taken it."""
    latest = delivery.now + SLOWEST
    return (latest if sent_at is None else min(sent_at, latest)) + delivery.expiry


def verify(
    signer: Signer, state: str, delivery: DeliveryContext, user_id: str, address: str, *, entry: str
) -> Judgement:
    """Whether `entry` (folded) is the code of the digest in `state`. The caller checks the expiry."""
    try:
        kept = json.loads(state)["digest"]
    except (ValueError, KeyError, TypeError):
        kept = None
    if not isinstance(kept, str):
        return Unavailable("the state of a message code does not parse")
    if exactly(delivery.digits).fits(entry) and signer.verify(
        kept, entry, delivery.tenant.id, delivery.challenge, user_id, address
    ):
        return Accepted(delivery.challenge)
    return Rejected()
