"""The factor `totp`: the six digits that an authenticator app shows (RFC 6238, SHA-1, 30 seconds).

The gateway makes the secret (160 bits, RFC 4226 section 4), shows it once while enrolling, and keeps it in the user's
sealed set. A code of the step before or after is right too. A code of a wider window is wrong, but tells that a clock
is off. Its steps are used up first: so a guess is worth three steps, and the answer announces no code that will be
right.
"""

import base64

import pyotp
from pyotp.exceptions import OTPVerificationError
from pyotp.utils import strings_equal

from gateway.domain.challenge import Accepted, Draft, Judgement, Rejected
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.texts import marked as _
from gateway.domain.user import User
from gateway.second_factor.factors.protocol import DeliveryContext, Digits, Factor, exactly
from gateway.second_factor.used_codes import Redemption, UsedCodes

DIGITS = 6
INTERVAL = 30
WINDOW = 1
"""Steps before and after that are right."""
CLOCK_WINDOW = 20
"""Steps within which a code shows a clock that is off: ten minutes."""
SECRET_BYTES = 20
LEAST_BYTES, MOST_BYTES = 10, 128
"""Size of a secret that another program made. Early authenticator apps used 80 bits."""
STEP = "totp-step"


class TotpFactor(Factor):
    """See `protocol.Factor`; the enrolment's secret is the app's, in base32."""

    kind = FactorKind.TOTP
    label = _("Authenticator app")
    icon = "phone"

    @classmethod
    def digits(cls, otp_length: int) -> Digits:
        """Six, whatever the policy says of sent codes."""
        return exactly(DIGITS)

    @classmethod
    def set_up_link(cls, secret: str, username: str, issuer: str) -> str:
        """The address in the QR code (Key Uri Format of Google Authenticator).

        The format divides its label at a colon, also at an encoded one, so no part may have a colon of its own.
        """
        name, tenant = (text.replace(":", "\N{MODIFIER LETTER COLON}") for text in (username, issuer))
        return _app(secret).provisioning_uri(name=name, issuer_name=tenant)

    async def enrol(self, user: User, given: str, delivery: DeliveryContext) -> Draft:
        """A new secret; the user enters nothing."""
        secret = base64.b32encode(delivery.random.token_bytes(SECRET_BYTES)).decode()
        return Draft(self.kind, secret=secret)

    async def take_over(self, user: User, given: str, delivery: DeliveryContext) -> Draft | Rejected:
        """The secret of an app that shows such codes already, in base32 of any case, with spaces or padding."""
        secret = "".join(given.split()).rstrip("=").upper()
        try:
            size = len(base64.b32decode(secret + "=" * (-len(secret) % 8)))
        except ValueError:
            return Rejected()
        return Draft(self.kind, secret=secret) if LEAST_BYTES <= size <= MOST_BYTES else Rejected()

    async def verify(
        self, state: str, user: User, enrolment: Enrolment, delivery: DeliveryContext, entry: str
    ) -> Judgement:
        """Accepts the code of the present step, the one before or the one after; returns that step.

        It is a code of one of the user's apps, whose secrets the enrolment has.
        """
        if not self.fits(entry, delivery.digits):
            return Rejected()
        off = list[tuple[str, str]]()
        for secret in enrolment.secret.split():
            app = _app(secret)
            try:
                step = app.verify_and_get_timecode(entry, for_time=delivery.now, valid_window=WINDOW)
            except OTPVerificationError:
                present = int(delivery.now) // INTERVAL
                near = range(max(0, present - CLOCK_WINDOW), present + CLOCK_WINDOW + 1)
                off += [(STEP, str(step)) for step in near if strings_equal(app.generate_otp(step), entry)]
            else:
                return Accepted(str(step), Enrolment(self.kind, secret=secret).id)
        return Rejected(Problem.CLOCK_OFF, tuple(off)) if off else Rejected()

    async def redeem(self, value: str, used: UsedCodes, by: Redemption) -> ProblemDetail | None:
        """Uses the step up, never one before the last one used.

        Where no step is known, no step up to the beginning of the store is accepted: a store that was lost forgets
        marks but not time. A secret made in this login has no past.
        """
        since = -1 if by.new_secret else await used.store_began() // INTERVAL
        if await used.raise_to(STEP, int(value), since, by) and await used.mark(STEP, value, by):
            return None
        return ProblemDetail(Problem.NEXT_CODE, (used.clock.now() // INTERVAL + 1) * INTERVAL)


def _app(secret: str) -> pyotp.TOTP:
    return pyotp.TOTP(secret, digits=DIGITS, interval=INTERVAL)
