"""Recognises the endpoints of apps and of Keycloak that the gateway never forwards.

They give a session for a password alone: the apps' own sign-in, second-factor and refresh endpoints, and Keycloak's
token endpoints. They are blocked in any spelling: Express ignores case and a trailing slash, Tomcat cuts `;x`, others
decode twice. Pure.
"""

import re
import unicodedata

from gateway.web.request_check import fully_decoded

_BLOCKED_OF_APPS = (
    ("keycloaklogin",),
    ("agent", "login"),
    ("agent", "refresh-token"),
    ("agent", "send-sms-otp"),
    ("agent", "register-phone"),
    ("agent", "validate-otp"),
)
_KEYCLOAK_BEGINS = frozenset({"admin", "realms"})
_KEYCLOAK_DEPTH = 5
"""Segments that decide whether a path of Keycloak's is blocked. All of a long path for each of its segments would cost
the square of its length."""
_PARAMETERS = re.compile(r"[;?#]")
_PROTOCOL_OPEN = frozenset({"certs", "logout", "userinfo", "login-status-iframe.html", "3p-cookies"})
"""The endpoints of Keycloak's `realms/<realm>/protocol/<protocol>/` that a route may reach, besides the description of
the realm (itself, `.well-known`). An allow-list: the others sign in, give tokens, or change an account."""


def is_blocked(segments: tuple[str, ...]) -> bool:
    """Whether some server could read these segments as a blocked endpoint, wherever it is mounted."""
    words = folded(segments)
    return any(
        any(words[at : at + len(blocked)] == blocked for blocked in _BLOCKED_OF_APPS)
        or (words[at] in _KEYCLOAK_BEGINS and _is_blocked_of_keycloak(words[at : at + _KEYCLOAK_DEPTH]))
        for at in range(len(words))
    )


def _is_blocked_of_keycloak(words: tuple[str, ...]) -> bool:
    match words:
        case ("admin", "realms", *_) | ("admin", _, "console", *_):
            return True
        case ("realms", _, "protocol", _, endpoint, *_):
            return endpoint not in _PROTOCOL_OPEN
        case ("realms", _, below, *_):
            return below != "well-known"  # folded: without its dot
    return False


def folded(segments: tuple[str, ...]) -> tuple[str, ...]:
    """The segments as the most lenient of servers reads them.

    They are decoded to the end, without case, parameters, blanks and invisible characters. A decoded `?` or `#` ends
    them, as it does behind a proxy that decodes.
    """
    text = "/".join(segments)
    text = unicodedata.normalize("NFKC", fully_decoded(text, lenient=True) or text)
    if not text.isascii():  # some compare in capitals, where a dotless i is an I
        text = "".join(c for c in text if unicodedata.category(c) != "Cf").upper()
    words = (_PARAMETERS.split(word)[0].strip(" .+\t") for word in text.casefold().replace("\\", "/").split("/"))
    return tuple(word for word in words if word)
