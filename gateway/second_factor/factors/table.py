"""The table of all factors, and what other packages ask of a kind."""

from collections.abc import Mapping

from gateway.domain.channel import ChannelKind
from gateway.domain.policy import FactorKind
from gateway.rendering.languages import Language
from gateway.rendering.step_view import MethodView
from gateway.second_factor.factors.admin_code import AdminCodeFactor
from gateway.second_factor.factors.backup_code import BackupCodeFactor
from gateway.second_factor.factors.email import EmailFactor
from gateway.second_factor.factors.external import ExternalAppFactor, ExternalEmailFactor, ExternalSmsFactor
from gateway.second_factor.factors.protocol import Factor, FactorType
from gateway.second_factor.factors.rsa import RsaFactor
from gateway.second_factor.factors.sms import SmsFactor
from gateway.second_factor.factors.totp import TotpFactor

Factors = Mapping[tuple[FactorKind, ChannelKind | None], Factor]
"""The object that serves each kind of factor through each kind of channel."""

_TYPES: tuple[type[FactorType], ...] = (
    TotpFactor,
    EmailFactor,
    SmsFactor,
    BackupCodeFactor,
    AdminCodeFactor,
    RsaFactor,
    ExternalEmailFactor,
    ExternalSmsFactor,
    ExternalAppFactor,
)
TYPES: Mapping[FactorKind, type[FactorType]] = {each.kind: each for each in _TYPES}
"""Every kind, in the order in which a page that takes any code tries them."""
SENT: frozenset[FactorKind | None] = frozenset(kind for kind, of in TYPES.items() if of.sends)
"""The kinds whose code travels in a message."""
ENROLLED_ELSEWHERE = frozenset(kind for kind, of in TYPES.items() if of.enrolled_elsewhere)
"""The kinds that every user has without enrolling."""
OF_RECORD = frozenset(kind for kind, of in TYPES.items() if of.of_record)
"""The kinds whose address in the user record only an administrator can change."""
APPROVING = tuple(kind for kind, of in TYPES.items() if of.approves)
"""The kinds whose code also approves an enrolment."""


def build(*services: Factor) -> Factors:
    """One object for each factor that this version serves: those that use `services`, and those that need nothing."""
    return {(each.kind, each.channel): each for each in (*services, TotpFactor(), BackupCodeFactor())}


def icon(kind: FactorKind | None) -> str:
    """The icon of `kind`, a shield for None."""
    return TYPES[kind].icon if kind else FactorType.icon


def label(kind: FactorKind, language: Language) -> str:
    """The name of `kind` in `language`."""
    return language.gettext(TYPES[kind].label)


def view(kind: FactorKind, language: Language, sent_to: str = "") -> MethodView:
    """What a page shows of `kind` where the user may choose it or enter its code. `sent_to` is a masked address."""
    of = TYPES[kind]
    return MethodView(kind.value, language.gettext(of.label), sent_to, of.icon, letters=of.digits(otp_length=6) is None)
