"""What is a kind of second factor called on a page?

Promises a label for every `FactorKind`, in English; `label` gives it in a language.
"""

from collections.abc import Mapping

from gateway.domain.policy import FactorKind
from gateway.rendering.languages import Language


def _(message: str) -> str:
    """Marks a text for extraction; it is translated when shown."""
    return message


LABELS: Mapping[FactorKind, str] = {
    FactorKind.EMAIL: _("Code by email"),
    FactorKind.SMS: _("Code by text message"),
    FactorKind.TOTP: _("Authenticator app"),
    FactorKind.RSA: _("RSA SecurID"),
    FactorKind.EXTERNAL: _("External check"),
    FactorKind.BACKUP_CODE: _("Backup code"),
    FactorKind.ADMIN_CODE: _("Code from your administrator"),
}


def label(factor: FactorKind, language: Language) -> str:
    """The name of `factor` in `language`."""
    return language.gettext(LABELS[factor])
