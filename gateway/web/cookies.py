"""Writes every `Set-Cookie` of the gateway and reads its `Cookie` headers.

Pure. With an https `public_url` our names begin with `__Host-Http-` (RFC 6265bis 4.1.3: Secure, Path=/, no Domain, set
by a header only): no sibling host and no script can plant them where the browser knows that prefix, and other browsers
take it for `__Host-`. By http they have neither prefix nor `Secure`. A name of ours that occurs twice in one request
counts as none: another party set one of the two. The token cookie is output only: on the way in it is never evidence.
"""

import base64
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from gateway.domain.ports import Random
from gateway.domain.session import Session
from gateway.domain.tenant import SameSite, Tenant

LANGUAGE = "gateway-language"
PREFIX = "__Host-Http-"
MAX_COOKIE = 4096
"""Bytes of a whole cookie that every browser keeps (RFC 6265 6.1)."""

_HOUR = 3600
_YEAR = 365 * 86400
_GONE = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
_TAG_BYTES = 16
_SECRET_BYTES = 32
_BROWSER_SECRET = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})")
_COOKIE_OCTETS = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")


class Cookie(Enum):
    """The gateway's own cookies that say something about a browser; the value is the name without its prefix."""

    SESSION = "gateway-session"
    LOGIN = "gateway-login"
    TRUST = "gateway-trust"
    BROWSER = "gateway-browser"
    HANDOVER = "gateway-handover"


_NAMES = (
    {cookie: cookie.value for cookie in Cookie},
    {cookie: f"{PREFIX}{cookie.value}" for cookie in Cookie},
)
"""By http, and by https."""


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The token of `size` bytes does not fit into a cookie. The gateway still delivers it in a header."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class BrowserSecret:
    """A cookie value `<tag>.<secret>`: the tag (16 bytes, URL-safe base64) is shared by login, challenge and session
    of one browser and places them together in the store; the secret (32 bytes) is the key to one of them."""

    tag: str
    secret: str = field(repr=False)

    @property
    def value(self) -> str:
        """The cookie's value."""
        return f"{self.tag}.{self.secret}"


def new_browser_secret(random: Random, tag: str | None = None) -> BrowserSecret:
    """A new secret, under a new tag unless the browser has one already."""
    return BrowserSecret(tag or _text(random.token_bytes(_TAG_BYTES)), _text(random.token_bytes(_SECRET_BYTES)))


def browser_secret(value: str | None) -> BrowserSecret | None:
    """Returns the two parts of `value`; None for every text that the gateway cannot have made."""
    match = _BROWSER_SECRET.fullmatch(value or "")
    return BrowserSecret(match[1], match[2]) if match else None


def name_of(cookie: Cookie, tenant: Tenant) -> str:
    """Returns the name that `cookie` has for the browsers of `tenant`."""
    return _NAMES[tenant.secure][cookie]


def read(cookie_headers: Iterable[str]) -> dict[str, str]:
    """Returns the values in the `Cookie` headers of one request by name, without names that occur twice."""
    return of_pairs([pair for header in cookie_headers for pair in header.split(";")])


def of_pairs(texts: Iterable[str]) -> dict[str, str]:
    """As `read`, of the pairs of the headers as they are between the semicolons."""
    parts = [text.partition("=") for text in texts]
    pairs = [(name.strip(" \t"), value.strip(" \t")) for name, equals, value in parts if equals]
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    times = Counter([name for name, _ in pairs])
    return {name: value for name, value in pairs if times[name] == 1}


def own(found: Mapping[str, str], tenant: Tenant) -> dict[Cookie, str]:
    """Returns those of the cookies `found` that are the gateway's own at `tenant`."""
    prefix = PREFIX if tenant.secure else ""
    return {cookie: found[prefix + cookie.value] for cookie in Cookie if prefix + cookie.value in found}


def session(tenant: Tenant, value: str) -> str:
    """The session cookie; it lives as long as the browser runs, the session's own limits are kept by the store."""
    return _own(tenant, Cookie.SESSION, value)


def login(tenant: Tenant, value: str) -> str:
    """The login cookie; its tag is also what forms are bound to, so a page left open overnight still works."""
    return _own(tenant, Cookie.LOGIN, value)


def trust(tenant: Tenant, value: str, seconds: int) -> str:
    """The cookie of a trusted browser; it counts for `seconds`, and the store decides again."""
    return _own(tenant, Cookie.TRUST, value, seconds)


def browser(tenant: Tenant, value: str) -> str:
    """The cookie that says which users finished a login in this browser; never a proof."""
    return _own(tenant, Cookie.BROWSER, value, _YEAR)


def handover(tenant: Tenant, value: str) -> str:
    """The cookie at an app's host to which a ticket of the pages' host is bound."""
    return _own(tenant, Cookie.HANDOVER, value, _HOUR)


def forget(tenant: Tenant, cookie: Cookie) -> str:
    """The removal of `cookie`."""
    return f"{name_of(cookie, tenant)}=; {_GONE}; {_flags(tenant)}"


def language(tenant: Tenant, code: str) -> str:
    """The user's choice of language; a plain cookie, nothing depends on it."""
    return f"{LANGUAGE}={code}; Max-Age={_YEAR}; {_flags(tenant)}"


def forget_language(tenant: Tenant) -> str:
    """The removal of the choice of language."""
    return f"{LANGUAGE}=; {_GONE}; {_flags(tenant)}"


def token(tenant: Tenant, of: Session, now: float) -> str | TooLarge:
    """The upstream token cookie with the session's access token; it lives as long as the token."""
    name = tenant.token_cookie.name
    value = of.tokens.access
    if not _COOKIE_OCTETS.fullmatch(value):
        raise ValueError("a token with characters that no cookie can hold")
    left = max(0, int(of.tokens.access_expires_at - now))
    whole = f"{name}={value}; Max-Age={left}; {_token_flags(tenant)}"
    return TooLarge(name, len(whole)) if len(whole) > MAX_COOKIE else whole


def forget_token(tenant: Tenant) -> str:
    """The removal of the upstream token cookie, by the same domain and path."""
    return f"{tenant.token_cookie.name}=; {_GONE}; {_token_flags(tenant)}"


def _own(tenant: Tenant, cookie: Cookie, value: str, seconds: int | None = None) -> str:
    if not _COOKIE_OCTETS.fullmatch(value):
        raise ValueError(f"a value with characters that no cookie can hold ({cookie.value})")
    life = "" if seconds is None else f"Max-Age={seconds}; "
    return f"{name_of(cookie, tenant)}={value}; {life}{_flags(tenant)}"


def _flags(tenant: Tenant) -> str:
    return f"{'Secure; ' if tenant.secure else ''}HttpOnly; SameSite=Lax; Path=/"


def _token_flags(tenant: Tenant) -> str:
    settings = tenant.token_cookie
    parts = [f"Domain={settings.domain}"] if settings.domain else []
    if tenant.secure or settings.same_site is SameSite.NONE:  # browsers drop SameSite=None without Secure
        parts.append("Secure")
    if settings.http_only:
        parts.append("HttpOnly")
    return "; ".join([*parts, f"SameSite={settings.same_site.value}", f"Path={settings.path}"])


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
