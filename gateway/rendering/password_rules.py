"""Says a realm's password policy in the language of a page.

Keycloak writes a policy as `length(8) and digits(2) and notUsername`. Rules without a sentence here are left
out: Keycloak states them when it rejects a password.
"""

import re

from gateway.domain.texts import marked as _
from gateway.rendering.languages import Language

_RULE = re.compile(r"(\w+)(?:\((\w*)\))?")
_SENTENCES = {
    "length": _("At least %(num)s characters"),
    "maxLength": _("At most %(num)s characters"),
    "digits": _("Digits: at least %(num)s"),
    "upperCase": _("Capital letters: at least %(num)s"),
    "lowerCase": _("Small letters: at least %(num)s"),
    "specialChars": _("Special characters: at least %(num)s"),
    "passwordHistory": _("Not one of your last %(num)s passwords"),
    "notUsername": _("Not your username"),
    "notEmail": _("Not your email address"),
}


def password_rules(policy: object, language: Language) -> tuple[str, ...]:
    """The rules of a realm's `passwordPolicy`, as far as they have a sentence; anything but a text has none."""
    rules = policy.split(" and ") if isinstance(policy, str) else []
    found = {rule[1]: rule[2] or "" for part in rules if (rule := _RULE.fullmatch(part.strip()))}
    return tuple(
        language.gettext(sentence) % {"num": language.number(int(number)) if number.isdecimal() else ""}
        for name, sentence in _SENTENCES.items()
        for number in [found.get(name)]
        if number is not None and (number.isdecimal() or "%" not in sentence)
    )
