"""How is a code made that travels in a message, what is kept of it, and when is a typed one right?

Promises that the code itself is in the message only. What is kept is a keyed digest bound to tenant, challenge, user
and address, so a code sent for one of them is worth nothing for another (EF-12).
"""

import json
from dataclasses import dataclass, field

from gateway.crypto import codes
from gateway.crypto.signing import Signer
from gateway.domain.challenge import Accepted, Judgement, Rejected, Unavailable
from gateway.second_factor.factors.protocol import DeliveryContext

PURPOSE = "message-code"
"""The purpose for which the `Signer` is made."""

CONSUMED = "challenge"
"""The kind of thing an accepted code uses up: its challenge, once."""


@dataclass(frozen=True, slots=True)
class NewCode:
    """A code to send, and the state to keep of it (JSON text with the digest only)."""

    code: str = field(repr=False)
    state: str


def new_code(signer: Signer, about: DeliveryContext, user_id: str, address: str) -> NewCode:
    """A random code of `about.digits` digits for this challenge, user and address."""
    code = codes.make(about.digits, about.random)
    digest = codes.digest(signer, code, about.tenant.id, about.challenge, user_id, address)
    return NewCode(code, json.dumps({"digest": digest}))


def judge(signer: Signer, state: str, about: DeliveryContext, user_id: str, address: str, *, typed: str) -> Judgement:
    """Whether `typed` (folded) is the code whose digest `state` keeps. Whether it expired is the caller's to check."""
    try:
        kept = json.loads(state)["digest"]
    except (ValueError, KeyError, TypeError):
        kept = None
    if not isinstance(kept, str):
        return Unavailable("the state of a message code does not parse")
    if not fits(typed, about.digits):
        return Rejected()
    if codes.matches(signer, kept, typed, about.tenant.id, about.challenge, user_id, address):
        return Accepted((CONSUMED, about.challenge))
    return Rejected()


def fits(typed: str, digits: int) -> bool:
    """Whether `typed` has the shape of such a code: exactly `digits` ASCII digits."""
    return len(typed) == digits and typed.isascii() and typed.isdigit()
