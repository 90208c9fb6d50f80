"""The factor `email`: a code sent to an enrolled address.

The gateway sends through the tenant's channel and keeps the digest of the code only. A mail that no relay took is
`Unavailable`: the caller gives the count back and the user may try again. A mail that a relay may have taken counts as
sent, and its code works. The code's life begins when the relay took the mail, within a hard maximum.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gateway.crypto.key_ring import Signer
from gateway.delivery.smtp import Mailer, Message, NotSent, Sent, one_address
from gateway.domain.challenge import Asked, Draft, Judgement, Rejected, Unavailable
from gateway.domain.channel import MAIL_KINDS, ChannelKind
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem
from gateway.domain.texts import marked as _
from gateway.domain.user import Contact, User
from gateway.observe.redaction import mask_address
from gateway.rendering.mails import Mails
from gateway.second_factor.factors import message_code
from gateway.second_factor.factors.protocol import DeliveryContext

CODE_MAIL = "factors/email/message"


def addresses_of(contacts: Iterable[Contact], *sets: EnrolmentSet) -> tuple[str, ...]:
    """The verified addresses of a user, each once: of the profile, and the enrolled ones."""
    known = [c.address for c in contacts if c.factor is FactorKind.EMAIL and c.verified]
    enrolled = [e.address for one in sets for e in one.enrolments if e.factor is FactorKind.EMAIL]
    return tuple({address.casefold(): address for address in (*known, *enrolled) if address}.values())


def draft(given: str) -> Draft | Rejected:
    """The one address in `given`, normalised, or `BAD_ADDRESS`. Looks nothing up and sends nothing."""
    address = one_address(given)
    return Draft(FactorKind.EMAIL, address=address) if address else Rejected(Problem.BAD_ADDRESS)


class EmailFactor(message_code.MessageFactor):
    """See `protocol.Factor`."""

    kind = FactorKind.EMAIL
    label = _("Code by email")
    icon = "mail"
    channel = ChannelKind.SMTP

    def __init__(self, *, mailer: Mailer, mails: Mails, signer: Signer) -> None:
        self._mailer = mailer
        self._mails = mails
        self._signer = signer

    async def enrol(self, user: User, given: str, delivery: DeliveryContext) -> Draft | Rejected:
        """See `draft`."""
        return draft(given)

    async def challenge(self, user: User, enrolment: Enrolment, delivery: DeliveryContext) -> Asked | Unavailable:
        """Makes a code, sends it to the enrolled address, keeps its digest."""
        new = message_code.new_code(self._signer, delivery, user.id, enrolment.address)
        context = {"code": new.code, "expires_in": delivery.expiry, "tag": delivery.tag}
        sent = await self._send(CODE_MAIL, enrolment.address, user, delivery, **context)
        if isinstance(sent, NotSent) and not sent.unknown:
            return Unavailable(sent.reason)
        return Asked(new.state, message_code.expires_at(delivery, sent.at if isinstance(sent, Sent) else None))

    async def verify(
        self, state: str, user: User, enrolment: Enrolment, delivery: DeliveryContext, entry: str
    ) -> Judgement:
        """Compares digests."""
        return message_code.verify(self._signer, state, delivery, user.id, enrolment.address, entry=entry)

    async def announce(
        self,
        user: User,
        delivery: DeliveryContext,
        *,
        to: str,
        change: str,
        factor_label: str,
        address: str,
        about: str = "",
        count: int = 0,
    ) -> Sent | NotSent:
        """Mails `user` at their address `to` about a change; `change` is the name of the mail.

        `factor_label` names the factor in the language of `delivery`. `address` is a new address, shown masked (""
        for an app), `about` the name of a device or browser, `count` a number of codes or days. The mail proves
        nothing and holds no code.
        """
        return await self._send(
            f"factors/email/{change}",
            to,
            user,
            delivery,
            factor=factor_label,
            sent_to=mask_address(address) if address else "",
            about=about,
            count=count,
        )

    async def _send(self, name: str, to: str, user: User, delivery: DeliveryContext, **context: Any) -> Sent | NotSent:
        if delivery.channel is None or delivery.channel.kind not in MAIL_KINDS:
            return NotSent("the tenant has no channel for mails of the gateway", temporary=False)
        mail = self._mails.render(
            name,
            delivery.language,
            delivery.tenant,
            username=user.username,
            host=delivery.host,
            browser=delivery.browser,
            at=delivery.now,
            reference=delivery.reference,
            **context,
        )
        try:
            subject = delivery.channel.subject if name == CODE_MAIL and delivery.channel.subject else mail.subject
            message = Message(to, subject, mail.text, mail.html, mail.language, delivery.reference)
        except ValueError as error:  # an address that another program wrote into the set, or a tenant's odd subject
            return NotSent(str(error), temporary=False)
        sender = delivery.channel.sender_name or " ".join(delivery.tenant.branding.name.split())
        return await self._mailer.send(replace(delivery.channel, sender_name=sender), message)
