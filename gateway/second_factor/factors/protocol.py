"""The interface of a second factor.

A factor makes, sends, verifies and redeems its codes. It never counts, renders a page or sees a request: limits,
records and pages belong to its callers (`challenges`, `login`). `Accepted` needs an explicit positive answer. Anything
odd from a remote service is `Unavailable`, never `Accepted`.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from gateway.domain.challenge import Asked, Draft, Elsewhere, Judgement, Rejected, Unavailable
from gateway.domain.channel import Channel, ChannelKind
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Random
from gateway.domain.problem import ProblemDetail
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.second_factor.used_codes import Redemption, UsedCodes


@dataclass(frozen=True, slots=True)
class Digits:
    """The possible numbers of digits of a code. A service that makes codes of its own may not tell their length."""

    least: int
    most: int

    @property
    def exact(self) -> int | None:
        """The number of digits, None where it may be one of several."""
        return self.most if self.least == self.most else None

    def fits(self, entry: str) -> bool:
        """Whether `entry` is ASCII digits of such a number."""
        return self.least <= len(entry) <= self.most and entry.isascii() and entry.isdigit()


def exactly(digits: int) -> Digits:
    """A code of exactly so many digits."""
    return Digits(digits, digits)


@dataclass(frozen=True, slots=True)
class DeliveryContext:
    """The circumstances of one proof.

    `digits` and `expiry` (seconds) are the policy's. `host` is the name that the browser shows, `browser` a text such
    as "Chrome on Windows". `tag` is the short label that keeps shared mailboxes apart ("" = none). `reference` finds
    this request in the log, `challenge` is the id of the challenge that a code is bound to. `now` is in seconds since
    the epoch. `sent_by` is the kind of the channel that sent the code to be verified; then `channel` is that very
    channel, or None if it is no longer configured.
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
    sent_by: ChannelKind | None = None

    @property
    def kind(self) -> ChannelKind | None:
        """The kind of channel whose factor serves this proof."""
        return self.sent_by or (self.channel.kind if self.channel else None)


class FactorType(Protocol):
    """The fixed properties of a kind of factor, for which no object is needed.

    `label` is translated when it is shown, `icon` is a name of `templates/icons.html`. `channel` is the kind of
    channel that it works through, None for a factor without one. `sends` tells whether the code travels in a message to
    an address. `approves` tells whether its code also approves an enrolment. `of_record`: users cannot change such an
    address of their record. `enrolled_elsewhere`: a service knows the users, so every user has this factor without
    enrolling. `hidden`: a page hides what is typed, until the user shows
    it. `remote`: a service makes the codes, so that the gateway has no say in their messages.
    """

    kind: ClassVar[FactorKind]
    label: ClassVar[str]
    icon: ClassVar[str] = "shield"
    channel: ClassVar[ChannelKind | None] = None
    sends: ClassVar[bool] = False
    approves: ClassVar[bool] = False
    enrolled_elsewhere: ClassVar[bool] = False
    of_record: ClassVar[bool] = False
    hidden: ClassVar[bool] = False
    remote: ClassVar[bool] = False

    @classmethod
    def digits(cls, otp_length: int) -> Digits | None:
        """The number of digits of a code, None when a code may hold letters. `otp_length` is the policy's."""
        return None

    @classmethod
    def fits(cls, entry: str, otp_length: int) -> bool:
        """Whether `entry` has the shape of such a code."""
        digits = cls.digits(otp_length)
        return digits is None or digits.fits(entry)

    @classmethod
    def shown(cls, address: str) -> str:
        """An enrolled address as people read it."""
        return address

    @classmethod
    def set_up_link(cls, secret: str, username: str, issuer: str) -> str:
        """The address that hands `secret` to an app on the user's phone, "" for a factor without an app."""
        return ""


class Factor(FactorType, Protocol):
    """One file of `factors/`; `table` lists them."""

    @classmethod
    def length(cls, delivery: DeliveryContext) -> Digits | None:
        """The number of digits of a code through the channel of `delivery`: by default as many as `digits` says."""
        return cls.digits(delivery.digits)

    @classmethod
    def given_name(cls, delivery: DeliveryContext) -> str:
        """The operator's own name for what shows the code, as for an app; "" for none."""
        return ""

    async def enrol(self, user: User, given: str, delivery: DeliveryContext) -> Draft | Rejected:
        """The entry of the user (an address; nothing for an app) as a draft, or the reason against it. Sends nothing.

        Rejected by default: the user cannot enrol such a factor.
        """
        return Rejected()

    async def take_over(self, user: User, given: str, delivery: DeliveryContext) -> Draft | Rejected:
        """An enrolment that another program made: its address, or its secret. By default what `enrol` makes of it."""
        return await self.enrol(user, given, delivery)

    async def challenge(
        self, user: User, enrolment: Enrolment, delivery: DeliveryContext
    ) -> Asked | Unavailable | Elsewhere:
        """Makes and sends a code. Its life begins when the relay takes the message. Sends nothing by default."""
        return Asked(state="", expires_at=None)

    async def credential(self, tenant: Tenant, user: User, enrolments: EnrolmentSet) -> Enrolment:
        """What a code is verified by when the factor is not one of the user's methods."""
        return Enrolment(self.kind)

    async def verify(
        self, state: str, user: User, enrolment: Enrolment, delivery: DeliveryContext, entry: str
    ) -> Judgement:
        """Verifies `entry`, already folded to plain characters. The caller has checked the expiry."""

    async def redeem(self, value: str, used: UsedCodes, by: Redemption) -> EnrolmentSet | ProblemDetail | None:
        """Uses up the `value` of an `Accepted`, exactly once across replicas.

        Returns the enrolments when they changed, a problem when `value` belongs to another owner, else None. Raises
        `errors.Unreachable` when it cannot be done: then the entry is not accepted.
        """
