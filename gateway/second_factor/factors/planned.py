"""The kinds of factor that settings and records know, but that no factor serves yet."""

from gateway.domain.policy import FactorKind
from gateway.domain.texts import marked as _
from gateway.second_factor.factors.protocol import Digits, FactorType, exactly


class SmsFactor(FactorType):
    """A code in a text message."""

    kind = FactorKind.SMS
    label = _("Code by text message")
    icon = "phone"
    sends = True

    @classmethod
    def digits(cls, otp_length: int) -> Digits:
        """As many as the policy says."""
        return exactly(otp_length)


class ExternalFactor(FactorType):
    """A code that a web service of the tenant verifies."""

    kind = FactorKind.EXTERNAL
    label = _("External check")
