"""What can this version really do?

A setting whose machinery is not there yet is an error, never silently less than what was asked for. Switching a part
on is one word in one of these lines. What a built preset uses is allowed with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gateway.domain.channel import ChannelKind
from gateway.domain.policy import FactorKind
from gateway.domain.tenant import SignInWay
from gateway.settings.presets import PRESETS

_LATER: Mapping[str, frozenset[object]] = MappingProxyType(
    {
        "registrationContact": frozenset({"service"}),
        "codeGeneration": frozenset({"EXTERNAL"}),
        "choosePage": frozenset({"several"}),
        "onWrongCode": frozenset({"resend"}),
        "onMaxVerify": frozenset({"stop"}),
        "onMaxSends": frozenset({"lock"}),
        "lockScope": frozenset({"app"}),
        "skipWhenVerified": frozenset({True}),
    }
)


@dataclass(frozen=True, slots=True)
class Features:
    """What stands. `later` are values of `twoFAConfigs` that nothing carries out yet; `unused` are such keys."""

    presets: tuple[str, ...] = tuple(name for name, preset in PRESETS.items() if preset.features)
    factors: tuple[FactorKind, ...] = (FactorKind.EMAIL, FactorKind.TOTP)
    kinds: tuple[ChannelKind, ...] = (ChannelKind.SMTP,)
    sign_in: tuple[SignInWay, ...] = (SignInWay.PASSWORD,)
    later: Mapping[str, frozenset[object]] = field(default_factory=lambda: _LATER)
    unused: frozenset[str] = frozenset({"contactService", "fallback"})
    named_paths: bool = False


FEATURES = Features()
