"""The kinds of factor that settings and records know, but that no factor serves yet."""

from gateway.domain.policy import FactorKind
from gateway.domain.texts import marked as _
from gateway.second_factor.factors.protocol import FactorType


class ExternalFactor(FactorType):
    """A code that a web service of the tenant verifies."""

    kind = FactorKind.EXTERNAL
    label = _("External check")
