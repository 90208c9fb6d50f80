"""The features that this version carries out.

A setting for a feature that is not built is an error: the gateway never does silently less than a file asks for. One
word in one of these lines switches a feature on. A built preset may use everything that it needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.domain.policy import FactorKind
from gateway.domain.tenant import SignInWay
from gateway.settings.presets import PRESETS


@dataclass(frozen=True, slots=True)
class Features:
    """The built features. `later` are values of `twoFAConfigs` that are not built."""

    presets: tuple[str, ...] = tuple(name for name, preset in PRESETS.items() if preset.features)
    factors: tuple[FactorKind, ...] = (FactorKind.EMAIL, FactorKind.SMS, FactorKind.TOTP, FactorKind.RSA)
    sign_in: tuple[SignInWay, ...] = (SignInWay.PASSWORD, SignInWay.SSO)
    later: Mapping[str, frozenset[object]] = field(
        default_factory=lambda: {
            "onMaxSends": frozenset({"lock"}),
        }
    )


FEATURES = Features()
