"""The factor `sms`: a code in a text message to an enrolled number.

Numbers are kept in E.164, and a code is sent only to one that the tenant allows now. As with mail, a text that no SMS
gateway took is `Unavailable`, and one that a gateway may have taken counts as sent.
"""

import structlog

from gateway.crypto.key_ring import Signer
from gateway.delivery import sms_http
from gateway.delivery.http_calls import HttpCalls
from gateway.delivery.phone_numbers import e164, in_groups
from gateway.domain.challenge import Asked, Draft, Judgement, Rejected, Unavailable
from gateway.domain.channel import ChannelKind
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem
from gateway.domain.sms_gateway import SmsGateway
from gateway.domain.tenant import PhoneNumbers
from gateway.domain.texts import marked as _
from gateway.domain.user import User
from gateway.observe.metrics import Metrics
from gateway.rendering.text_messages import TextMessages, parts_of
from gateway.second_factor.factors import message_code
from gateway.second_factor.factors.protocol import DeliveryContext, Factor

log = structlog.get_logger(__name__)


class PhoneFactor(Factor):
    """What all factors share whose code travels in a text message, whatever service sends it."""

    kind = FactorKind.SMS
    label = _("Code by text message")
    icon = "message"
    sends = True
    of_record = True

    @classmethod
    def shown(cls, address: str) -> str:
        """The number in groups."""
        return in_groups(address)

    async def enrol(self, user: User, given: str, delivery: DeliveryContext) -> Draft | Rejected:
        """The number in `given` in E.164, or the problem with it. Looks nothing up and sends nothing."""
        number = e164(given, delivery.tenant.phone_numbers)
        return Rejected(number) if isinstance(number, Problem) else Draft(self.kind, address=number)

    def _not_sent(self, delivery: DeliveryContext, why: str) -> Unavailable:
        channel = delivery.channel.service_identifier if delivery.channel else ""
        log.warning("text_not_sent", tenant=delivery.tenant.id, channel=channel, why=why, reference=delivery.reference)
        return Unavailable(why)


def may_text(number: str, numbers: PhoneNumbers) -> bool:
    """Whether a code may be sent to an enrolled number now: the tenant may have changed its countries since."""
    return e164(number, numbers) == number


class SmsFactor(message_code.MessageFactor, PhoneFactor):
    """See `protocol.Factor`."""

    channel = ChannelKind.SMS_HTTP

    def __init__(
        self, *, calls: HttpCalls, texts: TextMessages, signer: Signer, clock: Clock, metrics: Metrics
    ) -> None:
        self._calls = calls
        self._texts = texts
        self._signer = signer
        self._clock = clock
        self._metrics = metrics

    async def challenge(self, user: User, enrolment: Enrolment, delivery: DeliveryContext) -> Asked | Unavailable:
        """Makes a code, sends it to the enrolled number, keeps its digest."""
        channel, tenant = delivery.channel, delivery.tenant
        if channel is None or not isinstance(channel.service, SmsGateway):
            return self._not_sent(delivery, "the tenant's method names no SMS gateway")
        if not may_text(enrolment.address, tenant.phone_numbers):
            return self._not_sent(delivery, "phone_numbers of the tenant no longer allows this number")
        new = message_code.new_code(self._signer, delivery, user.id, enrolment.address)
        text = self._texts.code(new.code, tenant, delivery.language, delivery.host, delivery.tag)
        key = f"sms_http.tls of channel {channel.service_identifier}"
        failed = await sms_http.send(self._calls, channel.service, enrolment.address, text, key)
        if failed and not failed.unknown:
            return self._not_sent(delivery, failed.reason)
        self._metrics.text_sent(tenant.id, channel.service_identifier, parts_of(text), channel.service.price)
        return Asked(new.state, message_code.expires_at(delivery, None if failed else self._clock.now()))

    async def verify(
        self, state: str, user: User, enrolment: Enrolment, delivery: DeliveryContext, entry: str
    ) -> Judgement:
        """Compares digests."""
        return message_code.verify(self._signer, state, delivery, user.id, enrolment.address, entry=entry)
