"""The types of single settings: checks of texts, bounds of numbers, and marks for what a change means.

A section of a settings file is a frozen dataclass of this package with `__pydantic_config__ = SECTION`.
`gateway.settings` validates it in place with pydantic, which finds the checks by the two methods of `Checked`. Pydantic
itself is not imported here.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from annotated_types import Interval, MaxLen

from gateway.domain import urls

SECTION: Mapping[str, Any] = {"strict": True, "extra": "forbid"}
"""`__pydantic_config__` of a section: no conversion of types, no unknown key."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_COOKIE_PATH = re.compile("/[ -:<-~]*")
_COLOUR = re.compile("(#[0-9a-fA-F]{6})?")
_LOGO = re.compile(r"((https://|/)[\s\S]*)?")
_EMAIL = re.compile(r"([^\s@<>\"',;:?&%#/\\]{1,64}@[A-Za-z0-9.-]{1,255})?")
_TOKEN_VALUE = re.compile(r"[!-~]{1,200}")
_LANGUAGE = re.compile("([a-z]{2,3}(-[A-Za-z0-9]{2,8})?)?")
_JOINERS = str.maketrans("", "", "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}\N{NO-BREAK SPACE}")
"""Invisible characters that names need: Urdu, Persian and Hindi words are spelt with the first two."""


class Change(Enum):
    """The effect of another value of a setting; a mark in the annotation of a field.

    An enum's values are ordered as its class lists them, and `true` is higher than `false`.
    """

    HIGHER_IS_WEAKER = auto()
    LOWER_IS_WEAKER = auto()
    MAY_BE_WEAKER = auto()
    NEEDS_RESTART = auto()


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """A value that `check` makes of a text; it raises `ValueError` with a sentence that says what is allowed.

    `shown` is what the JSON Schema tells an editor, which cannot run the check. With `text=False`, `check` gets
    whatever the file has.
    """

    check: Callable[[Any], Any]
    shown: Mapping[str, Any] | None = None
    text: bool = True

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> dict[str, Any]:
        function = {"type": "no-info", "function": self.check}
        if not self.text:
            return {"type": "function-plain", "function": function}
        text = handler(source) if source is str else {"type": "str", "strict": True}
        return {"type": "function-after", "function": function, "schema": text}

    def __get_pydantic_json_schema__(self, schema: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {**(handler(schema) if self.text else {}), **(self.shown or {})}


def matching(check: Callable[[str], Any], pattern: str) -> Checked:
    """A checked text for which an editor knows `pattern`."""
    return Checked(check, {"pattern": pattern})


def like(pattern: re.Pattern[str], allowed: str, form: Callable[[str], str] = str) -> Checked:
    """A text that matches `pattern` as a whole, in its normal `form`; `allowed` is the sentence that rejects others."""

    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(allowed)
        return form(text)

    return matching(check, f"^({pattern.pattern})$")


def _one_line(text: str) -> str:
    if not text.translate(_JOINERS).isprintable():
        raise ValueError("must be one line without control characters")
    return text


def _network(text: str) -> IPv4Network | IPv6Network:
    """Clients are compared by IPv4 address where they have one, and without a zone."""
    if "%" in text:
        raise ValueError("must be an address or a network without a zone (%…)")
    try:
        network = ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError("must be an address or a network as 10.0.0.0/8") from error
    if ip_address(text.partition("/")[0]) != network.network_address:
        raise ValueError(f"is an address inside a network, not an address or a network as 10.0.0.0/8; write {network}")
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network[0].ipv4_mapped:
        return IPv4Network((int(network[0].ipv4_mapped), network.prefixlen - 96))
    return network


def _cookie_name(name: str) -> str:
    if not _TOKEN.fullmatch(name) or name.lower().startswith("gateway-") or name.startswith("__"):
        raise ValueError("must be a cookie name without prefix, other than the gateway's own (gateway-…)")
    return name


def _cookie_domain(domain: str) -> str:
    name = domain.removeprefix(".").lower()
    if name and ("." not in name or name.replace(".", "").isdigit()):
        raise ValueError("must be a domain of at least two labels, as example.com")
    return name


def _role(name: str) -> str:
    client, colon, role = name.partition(":")
    if not _one_line(name).strip() or name != name.strip() or (colon and not (client and role)):
        raise ValueError("must be a realm role, as agent, or a role of a client, as unified-admin:operator")
    return name


def _realm_role(name: str) -> str:
    if ":" in name or not _role(name):
        raise ValueError("must be a realm role, as admin")
    return name


def _group(path: str) -> str:
    if not path.startswith("/") or path.endswith("/") or _one_line(path) != path.strip():
        raise ValueError("must be the full path of a Keycloak group, as /agents/berlin")
    return path


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("must be a time zone of the IANA database, as Asia/Karachi") from error
    return name


_WEB = "^[Hh][Tt][Tt][Pp][Ss]?://[^ ]+$"
Seconds = Annotated[float, Interval(gt=0, le=86_400)]
Count = Annotated[int, Interval(ge=1, le=1_000_000)]
Line = Annotated[str, MaxLen(200), Checked(_one_line)]
LongLine = Annotated[str, MaxLen(4000), Checked(_one_line)]
Name = Annotated[str, MaxLen(100), Checked(_one_line)]
"""Of a tenant: the subject of a mail, which has at most 200 characters, contains it."""
Network = Annotated[IPv4Network | IPv6Network, matching(_network, "^[0-9A-Fa-f.:]+(/[0-9.]+)?$")]
HostName = Annotated[str, matching(urls.host_name, "^[A-Za-z0-9.-]+$")]
InternalHost = Annotated[str, matching(urls.internal_host, "^[A-Za-z0-9._:-]+$")]
Origin = Annotated[str, matching(urls.origin, _WEB)]
BaseUrl = Annotated[str, matching(urls.base_url, _WEB)]
ServiceUrl = Annotated[str, matching(urls.service_url, _WEB)]
Upstream = Annotated[str, matching(urls.upstream, _WEB)]
Link = Annotated[str, matching(urls.link, "^([Hh][Tt][Tt][Pp][Ss]?://|/)")]
RoutePath = Annotated[str, matching(urls.route_path, "^/")]
OwnPath = Annotated[str, matching(urls.own_path, "^/")]
PageAddress = Annotated[str, matching(urls.page_address, "^[Hh][Tt][Tt][Pp][Ss]://[^ ]+$")]
ServiceAddress = Annotated[str, matching(urls.service_address, _WEB)]
PageOrPath = Annotated[str, matching(urls.page_or_path, "^([Hh][Tt][Tt][Pp][Ss]://|/)")]
RoleName = Annotated[str, MaxLen(512), Checked(_role)]
RealmRole = Annotated[str, MaxLen(255), Checked(_realm_role)]
GroupPath = Annotated[str, MaxLen(1000), matching(_group, "^/")]
CookieName = Annotated[str, Checked(_cookie_name)]
CookieDomain = Annotated[str, Checked(_cookie_domain)]
CookiePath = Annotated[str, like(_COOKIE_PATH, "must be a path that begins with /")]
Colour = Annotated[str, like(_COLOUR, 'must be a colour as "#0b5cad" (in quotes)', str.lower)]
Logo = Annotated[str, like(_LOGO, "must be an https:// address or a path that begins with /")]
EmailAddress = Annotated[str, like(_EMAIL, "must be an address as help@example.com")]
TimeZone = Annotated[str, Checked(_time_zone)]
TokenValue = Annotated[str, like(_TOKEN_VALUE, "must be one word, in quotes if it is a number")]
Language = Annotated[str, like(_LANGUAGE, "must be a language as en, ar or de")]
