"""The factors of a service that makes and checks the codes: by email, by text message, and in the service's own app.

The service names a user's methods, sends a code by the chosen one, and checks what the user enters. Its status
`success` accepts, `incorrect code` rejects, and any other word is a named path of the tenant. A service that is down,
slow or not understood is `Unavailable`. The service alone knows the code: the gateway marks the accepted challenge.
"""

from typing import ClassVar

from gateway.crypto.key_ring import Signer
from gateway.delivery.http_calls import NoAnswer
from gateway.delivery.web_services import WebServiceCalls
from gateway.domain.challenge import Accepted, Asked, Elsewhere, Judgement, Rejected, Unavailable
from gateway.domain.channel import ChannelKind
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.texts import marked as _
from gateway.domain.user import User
from gateway.domain.web_services import WebServices
from gateway.second_factor.factors.message_code import MessageFactor
from gateway.second_factor.factors.protocol import DeliveryContext, Digits, exactly
from gateway.second_factor.used_codes import Redemption, UsedCodes

SUCCESS, INCORRECT = "success", "incorrect code"
"""The statuses that are no named path."""
_UNKNOWN = Digits(4, 10)
CODE_LIFE = 600.0
"""Seconds after which a used code of an app may be a new one."""


class ExternalFactor(MessageFactor):
    """What the three factors share; `method` is the service's word for each."""

    channel = ChannelKind.WEB_SERVICES
    remote = True
    method: ClassVar[str]

    def __init__(self, services: WebServiceCalls, signer: Signer) -> None:
        self._services = services
        self._signer = signer

    @classmethod
    def digits(cls, otp_length: int) -> Digits:
        """Unknown here: only a channel knows the number, if the operator wrote it."""
        return _UNKNOWN

    @classmethod
    def length(cls, delivery: DeliveryContext) -> Digits:
        """As many as the operator wrote for the channel."""
        services = _of(delivery)
        return exactly(services.code_digits) if services and services.code_digits else _UNKNOWN

    async def challenge(
        self, user: User, enrolment: Enrolment, delivery: DeliveryContext
    ) -> Asked | Unavailable | Elsewhere:
        """Has the service send a code, which is valid for its time-out from the request on."""
        services = _of(delivery)
        if services is None:
            return Unavailable("the method has no channel of web services")
        answer = await self._services.send(services, user, self.method)
        if isinstance(answer, NoAnswer):
            return Unavailable(answer.reason)
        if answer.status != SUCCESS:
            return Elsewhere(answer.status)
        return Asked("", delivery.now + services.code_life)

    async def verify(
        self, state: str, user: User, enrolment: Enrolment, delivery: DeliveryContext, entry: str
    ) -> Judgement:
        """Asks the service. An entry that cannot be a code is rejected here."""
        services = _of(delivery)
        if services is None:
            return Unavailable("the method has no channel of web services", Problem.CHECK_FAILED)
        if not self.length(delivery).fits(entry):
            return Rejected()
        answer = await self._services.code(services, user, entry)
        if isinstance(answer, NoAnswer):
            return Unavailable(answer.reason, Problem.CHECK_FAILED)
        match answer.status:
            case "success":
                return Accepted(self._used_up(user, delivery, entry))
            case "incorrect code":
                return Rejected()
        return Elsewhere(answer.status)

    def _used_up(self, user: User, delivery: DeliveryContext, entry: str) -> str:
        """What an accepted entry uses up: the challenge."""
        return delivery.challenge


class ExternalEmailFactor(ExternalFactor):
    """A code that the service mails."""

    kind = FactorKind.EXTERNAL_EMAIL
    label = _("Code by email")
    icon = "mail"
    method = "Email"


class ExternalSmsFactor(ExternalFactor):
    """A code that the service sends in a text message."""

    kind = FactorKind.EXTERNAL_SMS
    label = _("Code by text message")
    icon = "message"
    method = "SMS"


class ExternalAppFactor(ExternalFactor):
    """A code that the service's app shows: nothing is sent, and the service for that is not called."""

    kind = FactorKind.EXTERNAL_APP
    label = _("Authenticator app")
    icon = "shield"
    sends = False
    method = "Authenticator"

    @classmethod
    def given_name(cls, delivery: DeliveryContext) -> str:
        """The name of the app, which the operator wrote for the channel."""
        services = _of(delivery)
        return services.prompt if services else ""

    async def challenge(self, user: User, enrolment: Enrolment, delivery: DeliveryContext) -> Asked:
        """Sends nothing."""
        return Asked("", None)

    def _used_up(self, user: User, delivery: DeliveryContext, entry: str) -> str:
        """The code itself, of which the gateway keeps a digest: an app shows it to every login of its time."""
        return self._signer.sign(entry, delivery.tenant.id, user.id)

    async def redeem(self, value: str, used: UsedCodes, by: Redemption) -> ProblemDetail | None:
        """Marks the code as used for some minutes; later an app may show the same one again."""
        return None if await used.mark("external-code", value, by, CODE_LIFE) else ProblemDetail(Problem.NEXT_CODE)


def _of(delivery: DeliveryContext) -> WebServices | None:
    service = delivery.channel.service if delivery.channel else None
    return service if isinstance(service, WebServices) else None
