"""Renders text messages with a code: as short as possible, with a last line that phones and browsers understand.

The last line is `@host #code` (the origin-bound format of WICG and Apple): a phone offers the code only on pages of
that host. A text of one part costs least and always arrives whole: 160 characters of the GSM alphabet, or 70 with any
other character, as in Arabic and Urdu. So the tenant's name is left out where it would make two parts of one.
"""

from gateway.domain.tenant import Tenant
from gateway.domain.texts import marked as _
from gateway.rendering.languages import Languages

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The alphabet of 3GPP TS 23.038."""
_GSM_OF_TWO = frozenset("^{}\\[~]|€\f")
_LONG = _("%(code)s is your sign-in code for %(name)s. Don't share it.")
_SHORT = _("Your sign-in code: %(code)s")


class TextMessages:
    """Renders texts in the languages offered."""

    def __init__(self, languages: Languages) -> None:
        self._languages = languages

    def code(self, code: str, tenant: Tenant, language: str, host: str, tag: str) -> str:
        """The text with `code`; `tag` marks it like the page that asks for it ("" = none)."""
        spoken, name = self._languages.get(language), " ".join(tenant.branding.name.split())
        mark = f" [{tag}]" if tag else ""
        long, short = (
            f"{spoken.gettext(sentence) % {'code': code, 'name': name}}{mark}\n\n@{host} #{code}"
            for sentence in (_LONG, _SHORT)
        )
        return long if parts_of(long) <= parts_of(short) else short


def is_gsm(text: str) -> bool:
    """Whether `text` has characters of the GSM alphabet only."""
    return set(text) <= _GSM | _GSM_OF_TWO


def parts_of(text: str) -> int:
    """The number of parts in which networks carry `text`, each with its price."""
    if is_gsm(text):
        length, one, of_many = len(text) + sum(c in _GSM_OF_TWO for c in text), 160, 153
    else:
        length, one, of_many = len(text.encode("utf-16-be")) // 2, 70, 67
    return 1 if length <= one else -(-length // of_many)
