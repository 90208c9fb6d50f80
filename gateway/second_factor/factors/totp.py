"""The factor `totp`: the six digits that an authenticator app shows (RFC 6238, SHA-1, 30 seconds).

The secret is made here (160 bits, RFC 4226 section 4), shown once while registering, and kept in the user's sealed set.
A code of the step before or after is right too. Which step matched is what is used up; that no step counts twice is the
caller's (`consuming`). A code of a wider window is wrong all the same, but says that a clock is off.
"""

import base64

import pyotp
from pyotp.exceptions import OTPVerificationError

from gateway.domain.challenge import Accepted, Asked, Draft, Judgement, Rejected
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem
from gateway.domain.user import User
from gateway.second_factor.factors.protocol import DeliveryContext

DIGITS = 6
INTERVAL = 30
WINDOW = 1
"""Steps before and after that are right."""
CLOCK_WINDOW = 20
"""Steps within which a code shows a clock that is off: ten minutes."""
SECRET_BYTES = 20
CONSUMED = "totp-step"


class TotpFactor:
    """See `second_factor.factor.Factor`."""

    async def register(self, user: User, given: str, about: DeliveryContext) -> Draft | Rejected:
        """A new secret; nothing is typed."""
        secret = base64.b32encode(about.random.token_bytes(SECRET_BYTES)).decode()
        return Draft(FactorKind.TOTP, secret=secret)

    async def challenge(self, user: User, enrolment: Enrolment, about: DeliveryContext) -> Asked:
        """Nothing is sent; the app shows the code."""
        return Asked(state="", expires_at=None)

    async def judge(
        self, state: str, user: User, enrolment: Enrolment, about: DeliveryContext, typed: str
    ) -> Judgement:
        """Right for the step now, before or after."""
        if not (len(typed) == DIGITS and typed.isascii() and typed.isdigit()):
            return Rejected()
        app = pyotp.TOTP(enrolment.secret, digits=DIGITS, interval=INTERVAL)
        try:
            step = app.verify_and_get_timecode(typed, for_time=about.now, valid_window=WINDOW)
        except OTPVerificationError:
            off = app.verify(typed, for_time=about.now, valid_window=CLOCK_WINDOW)
            return Rejected(Problem.CLOCK_OFF if off else Problem.WRONG_CODE)
        return Accepted((CONSUMED, str(step)))


def next_code_at(now: float) -> float:
    """When the app shows its next code, by this machine's clock; both in seconds since the epoch."""
    return (now // INTERVAL + 1) * INTERVAL


def otpauth(secret: str, username: str, issuer: str) -> str:
    """The address in the QR code (Key Uri Format of Google Authenticator)."""
    return pyotp.TOTP(secret, digits=DIGITS, interval=INTERVAL).provisioning_uri(name=username, issuer_name=issuer)
