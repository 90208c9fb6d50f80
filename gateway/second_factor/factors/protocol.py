"""What is a kind of second factor to the rest of the gateway?

A factor makes, sends and judges. It never counts, renders a page, stores, or sees a request: limits, records and pages
are the callers' (`challenges`, `login`). Accepted needs an explicit positive answer; anything odd from a remote
service is `Unavailable`, never `Accepted`.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from gateway.domain.challenge import Asked, Draft, Elsewhere, Judgement, Rejected, Unavailable
from gateway.domain.channel import Channel
from gateway.domain.enrolment import Enrolment
from gateway.domain.ports import Random
from gateway.domain.tenant import Tenant
from gateway.domain.user import User


@dataclass(frozen=True, slots=True)
class DeliveryContext:
    """The circumstances of one proof.

    `digits` and `expiry` (seconds) as the policy says, `host` the name the user sees in his browser, `browser` a text
    such as "Chrome on Windows", `tag` the short label that keeps shared mailboxes apart ("" = none), `reference` the
    code that finds this request in the log, `challenge` the id of the challenge a code is bound to, `now` in seconds
    since the epoch.
    """

    tenant: Tenant
    channel: Channel | None
    digits: int
    expiry: int
    language: str
    host: str
    browser: str
    reference: str
    now: float
    random: Random
    tag: str = ""
    challenge: str = ""

    def for_challenge(self, challenge: str) -> "DeliveryContext":
        """The same circumstances for the challenge with this id."""
        return replace(self, challenge=challenge)


class Factor(Protocol):
    """One file of `factors/`; objects are made once by `app` and keyed by factor and channel kind."""

    async def register(self, user: User, given: str, about: DeliveryContext) -> Draft | Rejected:
        """What the user typed (an address; nothing for an app) as a draft, or why not. Sends nothing."""

    async def challenge(
        self, user: User, enrolment: Enrolment, about: DeliveryContext
    ) -> Asked | Unavailable | Elsewhere:
        """Ask: make and send a code, or note what will be judged. Times count from the relay's acceptance."""

    async def judge(
        self, state: str, user: User, enrolment: Enrolment, about: DeliveryContext, typed: str
    ) -> Judgement:
        """Judge `typed`, already folded to plain characters. Expiry was checked by the caller."""
