"""Rewrites the header fields of a request for the app, and of the app's answer for the browser.

Pure. The head for the app is built from nothing: what may pass, then the gateway's own fields. A name that could be
read as one of the gateway's, in any spelling, never passes. On the way out the gateway's cookies, CORS fields and
connection fields stay its own, and so does what acts on the whole origin (`ORIGIN_WIDE`).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit

from gateway.domain.session import Session
from gateway.domain.tenant import IdentityDelivery, Route, Tenant
from gateway.proxy.public_urls import PublicUrls, public_origin
from gateway.proxy.routing import RouteMatch
from gateway.web.request_check import METHODS, Checked, is_ambiguous, listed
from gateway.web.security_headers import HSTS

HeaderFields = tuple[tuple[str, str], ...]
FORWARDED_FOR = "X-Forwarded-For"
_LONGEST_NAME = 64
"""Characters of the longest name of a cookie whose reading is remembered."""

_HOP_BY_HOP = frozenset(
    [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-authentication-info",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "content-length",
        "expect",
    ]
)
_DROPPED_IN = _HOP_BY_HOP | frozenset(
    [
        "host",
        "authorization",
        "cookie",
        "forwarded",
        "via",
        "proxy",
        "x-real-ip",
        "x-client-ip",
        "x-request-id",
        "x-cluster-client-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "fastly-client-ip",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "remote-user",
        "x-remote-user",
        "x-url-scheme",
        "x-scheme",
    ]
)
_DROPPED_PREFIXES = (
    "x-forwarded",
    "x-original",
    "x-rewrite",
    "x-auth-",
    "x-user",
    "x-remote-",
    "x-gw-",
    "x-gateway-",
    "x-pomerium-",
    "x-authentik-",
    "x-authenticated-",
)
ORIGIN_WIDE = frozenset(
    [
        "service-worker-allowed",
        "cross-origin-opener-policy",
        "cross-origin-opener-policy-report-only",
        "clear-site-data",
        "strict-transport-security",
        "public-key-pins",
        "public-key-pins-report-only",
        "expect-ct",
        "nel",
        "report-to",
        "secure-session-registration",
        "secure-session-challenge",
        "sec-session-registration",
        "sec-session-challenge",
        "alt-svc",
        "x-accel-redirect",
        "x-accel-expires",
        "x-accel-limit-rate",
        "x-accel-charset",
        "x-sendfile",
        "x-lighttpd-send-file",
        "x-lighttpd-send-tempfile",
        "x-reproxy-url",
        "x-reproxy-file",
    ]
)
"""Fields of an app's answer, in lower case, that the gateway drops: an app must not decide for the gateway's own pages
on the same origin, nor for a proxy in front of the gateway.

- `Service-Worker-Allowed` lets a worker control pages outside of its script's folder, so the login page too
  (W3C Service Workers).
- `Cross-Origin-Opener-Policy: same-origin` on an app's page keeps the gateway's page, which carries the same value,
  in one browsing context group with it: a script of the app reads the popup. Without it the browser parts the two.
- `Clear-Site-Data` takes the gateway's cookies from the browser, those of trusted browsers too.
- `Strict-Transport-Security`, `Public-Key-Pins` and `Expect-CT` hold for the host, and stay when the app is gone.
- `NEL` and `Report-To` make the browser report requests of the whole origin to a collector that the app names
  (W3C Network Error Logging). `Reporting-Endpoints` holds for one page and passes.
- `Secure-Session-…` (older: `Sec-Session-…`) binds cookies of the whole origin to a device: the browser then holds
  requests back until the app's endpoint has answered (W3C Device Bound Session Credentials).
- `Alt-Svc` leads the browser around the gateway.
- `X-Accel-…`, `X-Sendfile` and their like make a proxy in front send a file or an internal address of its own.
  `X-Accel-Buffering` concerns this answer alone, and server-sent events need it: it passes.
"""
_DROPPED_OUT = _HOP_BY_HOP | ORIGIN_WIDE | frozenset(("server", "x-powered-by", "x-request-id"))
_SHARED_CACHES = frozenset(("surrogate-control", "edge-control"))
_OF_SHARED_CACHES = frozenset(("", "public", "private", "s-maxage", "proxy-revalidate"))
_PAGE = ("text/html", "application/xhtml+xml")
_CORS = "access-control-"
_OURS = "gateway-"
_ODD = re.compile(r"[^a-z0-9]")
_PLAIN = " !\"#$&'()*+,/:;<=>?@[]^`{|}"


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """The head for an app, without framing fields; `forward` and `websocket` add them."""

    method: str
    target: str
    fields: HeaderFields


def request_head(
    checked: Checked, found: RouteMatch, tenant: Tenant, session: Session | None, client_address: str
) -> UpstreamRequest:
    """Build the head for the app of `found`; `session` None gives no identity at all."""
    fields = (
        ("Host", app_host(checked, found.route, tenant)),
        *client_fields(checked),
        *credential_fields(checked, found, tenant, session, kept_cookies(checked.all("cookie"), tenant)),
        (FORWARDED_FOR, client_address),
        *forwarded_fields(checked, found.route, tenant),
    )
    return UpstreamRequest(checked.method, found.target, fields)


def app_host(checked: Checked, route: Route, tenant: Tenant) -> str:
    """The value of `Host` for the app."""
    return urlsplit(public_origin(checked, tenant) if route.pass_host else route.to).netloc


def client_fields(checked: Checked) -> HeaderFields:
    """The client's own fields that the app gets, unchanged and in their order; its cookies are not among them."""
    named = listed(checked.all("connection"))
    return tuple(
        (name, value)
        for name, value in checked.headers
        if name.lower() not in named and not is_managed(name) and not is_ambiguous(name, checked)
    )


def credential_fields(
    checked: Checked, found: RouteMatch, tenant: Tenant, session: Session | None, cookies: Sequence[str]
) -> HeaderFields:
    """The cookies for the app, of which `cookies` are the client's own, and the identity of the session's user."""
    fields: list[tuple[str, str]] = []
    identity = found.route.identity if session else frozenset()
    if session and IdentityDelivery.COOKIE in identity:
        # first, because of two cookies of one name most servers take the first
        cookies = (f"{tenant.token_cookie.name}={session.tokens.access}", *cookies)
    if cookies:
        fields.append(("Cookie", "; ".join(cookies)))
    if found.public and found.route.pass_authorization and (own := checked.header("authorization")) is not None:
        fields.append(("Authorization", own))
    if session and IdentityDelivery.BEARER in identity:
        fields.append(("Authorization", f"Bearer {session.tokens.access}"))
    if session and IdentityDelivery.HEADERS in identity:
        fields += identity_fields(session)
    return tuple(fields)


def forwarded_fields(checked: Checked, route: Route, tenant: Tenant) -> HeaderFields:
    """The fields that tell the app the public address of the request, beside `FORWARDED_FOR`."""
    public = urlsplit(public_origin(checked, tenant))
    prefix = (("X-Forwarded-Prefix", route.path),) if route.strip_prefix and route.path else ()
    return (
        ("X-Forwarded-Proto", public.scheme),
        ("X-Forwarded-Host", public.netloc),
        ("X-Forwarded-Port", str(public.port or (443 if public.scheme == "https" else 80))),
        *prefix,
    )


def identity_fields(session: Session) -> HeaderFields:
    """The named headers: always all of them, so that none of a client's could be taken for ours."""
    return (
        ("X-Auth-User-Id", _ascii(session.user_id)),
        ("X-Auth-Username", _ascii(session.username)),
        ("X-Auth-Email", _ascii(session.email)),
        ("X-Auth-Roles", ",".join(_ascii(role, keep_commas=False) for role in session.roles)),
    )


def response_fields(
    fields: Iterable[tuple[str, str]],
    checked: Checked,
    route: Route,
    tenant: Tenant,
    prefix: str,
    *,
    status: int = 200,
    private: bool = True,
    extra: HeaderFields = (),
) -> HeaderFields:
    """The fields of an app's answer for the browser, without framing, and `extra` of ours (cookies).

    `Set-Cookie` stays a list; the order is kept. `Strict-Transport-Security` is the gateway's, by https only. `prefix`
    is that of the gateway's own pages. `private`: no shared cache may store the answer. A 304 updates what the browser
    holds (RFC 9111 3.2): a field the app did not send stays as it is.
    """
    urls = PublicUrls(public_origin(checked, tenant), route, tenant, prefix)
    fields = tuple(fields)
    cache = _cache_control(fields, route, private=private)
    named = listed(value for name, value in fields if name.lower() == "connection")
    out: list[tuple[str, str]] = []
    for name, value in fields:
        key = name.lower()
        if key in _DROPPED_OUT or key in named or key.startswith(_CORS):
            continue
        if key == "set-cookie" and not may_set_cookie(value, checked.host, tenant):
            continue
        if cache and (key == "cache-control" or key in _SHARED_CACHES or key.endswith("cdn-cache-control")):
            continue
        out.append((name, urls.field(key, value)))
    if cache and (status != 304 or any(name.lower() == "cache-control" for name, _ in fields)):
        out.append(("Cache-Control", cache))
    if cors := cors_fields(checked, tenant):
        out += cors
        out += (
            ("Access-Control-Expose-Headers", value)
            for name, value in fields
            if name.lower() == "access-control-expose-headers"
        )
    if tenant.origins:  # the answer differs by Origin, also when none was sent
        out.append(("Vary", "Origin"))
    if "x-content-type-options" not in {name.lower() for name, _ in out}:
        out.append(("X-Content-Type-Options", "nosniff"))
    if tenant.secure:
        out.append(("Strict-Transport-Security", HSTS))
    return (*out, *extra)


def field_lines(fields: HeaderFields) -> bytes:
    """Fields on the wire, each with its line end."""
    return "".join([f"{name}: {value}\r\n" for name, value in fields]).encode("latin-1")


def is_event_stream(content_types: Iterable[str]) -> bool:
    """Whether an answer with these `Content-Type` fields has no end of its own."""
    return any(kind.partition(";")[0].strip().lower() == "text/event-stream" for kind in content_types)


def _cache_control(fields: HeaderFields, route: Route, *, private: bool) -> str:
    """`Cache-Control` of an answer that the browser alone may store (RFC 9111 5.2.2), or that nothing may; else ""."""
    page = any(name.lower() == "content-type" and value.lstrip().lower().startswith(_PAGE) for name, value in fields)
    if route.no_store_pages and page:
        return "no-store"
    if not private:
        return ""
    sent = ",".join(value for name, value in fields if name.lower() == "cache-control").split(",")
    kept = [text.strip() for text in sent if text.partition("=")[0].strip().lower() not in _OF_SHARED_CACHES]
    return ", ".join(kept if any(text.lower() == "no-store" for text in kept) else ["private", *kept])


def cors_fields(checked: Checked, tenant: Tenant) -> HeaderFields:
    """The fields that let a page of a configured origin read the answer; none for any other."""
    origin = checked.header("origin")
    if origin is None or origin not in tenant.origins:
        return ()
    return (("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true"))


def preflight_fields(checked: Checked, tenant: Tenant, route: Route) -> HeaderFields:
    """The answer to a preflight of a configured origin for a path of `route`."""
    methods = (*sorted(METHODS), *sorted(method.value for method in route.methods))
    asked = ", ".join(sorted(listed(checked.all("access-control-request-headers"))))
    allowed = (("Access-Control-Allow-Headers", asked),) if asked else ()
    return (
        *cors_fields(checked, tenant),
        ("Access-Control-Allow-Methods", ", ".join(methods)),
        *allowed,
        ("Access-Control-Max-Age", "600"),
        ("Vary", "Origin"),
    )


def may_set_cookie(value: str, host: str, tenant: Tenant) -> bool:
    """Whether an app may set this cookie: neither one of ours nor one for hosts above its own."""
    pair, *attributes = value.split(";")
    name, equals, _ = pair.partition("=")
    if not equals or not name.strip() or _is_own_cookie(name, tenant):
        return False  # a cookie without a name reads as "gateway-session=…" to some
    for attribute in attributes:
        key, _, domain = attribute.partition("=")
        if key.strip().lower() == "domain" and domain.strip().lower().lstrip(".") not in ("", host):
            return False
    return True


def is_managed(name: str) -> bool:
    """Whether some server could read `name`, of a request's field, as one that is the gateway's to set or to drop."""
    key = _ODD.sub("-", name.lower())
    return key in _DROPPED_IN or key.startswith(_DROPPED_PREFIXES)


def kept_cookies(values: Iterable[str], tenant: Tenant) -> tuple[str, ...]:
    """The cookies in `Cookie` fields that the app may get, each as `name=value`: all but the gateway's own."""
    return kept_pairs([pair.strip(" \t") for value in values for pair in value.split(";")], tenant)


def kept_pairs(pairs: Sequence[str], tenant: Tenant) -> tuple[str, ...]:
    """As `kept_cookies`, of the pairs of the fields without the blanks around them."""
    return tuple([pair for pair in pairs if pair and not _is_own_cookie(pair.partition("=")[0], tenant)])


def _is_own_cookie(name: str, tenant: Tenant) -> bool:
    """Whether some server could read `name` as one of ours: PHP decodes names, others trim or fold them."""
    judge = _reads_as_own if len(name) <= _LONGEST_NAME else _reads_as_own.__wrapped__
    return judge(name, tenant.token_cookie.name)


@lru_cache(maxsize=1024)
def _reads_as_own(name: str, token_cookie: str) -> bool:
    key = _ODD.sub("-", unquote(name).strip().strip('"').lower())
    for prefix in ("--host-http-", "--host-", "--secure-", "--http-"):  # the longer one before its beginning
        key = key.removeprefix(prefix)
    return key.startswith(_OURS) or key == _ODD.sub("-", token_cookie.lower())


def _ascii(text: str, *, keep_commas: bool = True) -> str:
    """`text` in printable ASCII: everything else, and `%` itself, percent-encoded as UTF-8."""
    return quote(text, safe=_PLAIN if keep_commas else _PLAIN.replace(",", "")).strip()
