"""The tenant's `gateway:` section: keys, types and defaults.

All that EFCX has no word for. The same section is `defaults:` of `gateway.yaml`, which is merged under every tenant's.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.domain.tenant import IdentityDelivery, RouteFactor, SameSite, SignInWay
from gateway.settings.files.field_types import (
    BaseUrl,
    Choice,
    HostName,
    Link,
    Name,
    Network,
    Origin,
    OwnPath,
    RoutePath,
    Seconds,
    Section,
    TlsSection,
    Upstream,
    seen_as,
)
from gateway.settings.source.secret_refs import SecretSource

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})?")


def _cookie_name(name: str) -> str:
    plain = name.removeprefix("__Host-").removeprefix("__Secure-").lower()
    if not _TOKEN.fullmatch(name) or plain.startswith("gateway-") or name.startswith("__"):
        raise ValueError("must be a cookie name without prefix, other than the gateway's own (gateway-…)")
    return name


def _cookie_domain(domain: str) -> str:
    name = domain.removeprefix(".").lower()
    if name and ("." not in name or name.replace(".", "").isdigit()):
        raise ValueError("must be a domain of at least two labels, as example.com")
    return name


def _cookie_path(path: str) -> str:
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or ";" in path:
        raise ValueError("must be a path that begins with /")
    return path


def _colour(text: str) -> str:
    if text and not _COLOUR.fullmatch(text):
        raise ValueError('must be a colour as "#0b5cad" (in quotes)')
    return text.lower()


def _logo(text: str) -> str:
    if text and not text.startswith(("https://", "/")):
        raise ValueError("must be an https:// address or a path that begins with /")
    return text


def _language(text: str) -> str:
    if text and not _LANGUAGE.fullmatch(text):
        raise ValueError("must be a language as en, ar or de")
    return text


_SAME_SITE_TEXT = seen_as(*(v.value.lower() for v in SameSite), *(v.value for v in SameSite))


def _same_site(word: object) -> SameSite:
    found = next((v for v in SameSite if isinstance(word, str) and v.value.lower() == word.lower()), None)
    if found is None:
        raise ValueError("is not known; allowed: strict, lax or none")
    return found


class HelpSection(Section):
    """What a user in trouble is told, on password, stopped, locked and outage pages."""

    text: Annotated[str, Field(max_length=500)] = ""
    """One or two sentences."""

    phone: Annotated[str, Field(max_length=50)] = ""
    """A telephone number to call."""

    url: Link | None = None
    """A page with help."""

    forgot_password: Link | None = None
    """Where a forgotten password is reset."""


class BrandingSection(Section):
    """How the tenant's pages look."""

    name: Name = ""
    """The name on pages and in mails; default the tenant's name."""

    logo: Annotated[str, AfterValidator(_logo), seen_as(pattern="^(https://.*|/.*)?$")] = ""
    """Address of an image, https or on this host."""

    colour: Annotated[str, AfterValidator(_colour), seen_as(pattern="^(#[0-9a-fA-F]{6})?$")] = ""
    """The main colour, as "#0b5cad"."""

    language: Annotated[str, AfterValidator(_language)] = ""
    """The language of pages when the user chose none."""


class ClientSection(Section):
    """A Keycloak client."""

    client_id: Annotated[str, Field(min_length=1)]
    """Its name."""

    client_secret: SecretSource
    """Its secret."""


class KeycloakSection(Section):
    """How the gateway speaks to the tenant's realm."""

    client_id: str | None = None
    """The client users sign in with; default EFCX's `CLIENT_ID`, else its `resource`."""

    client_secret: SecretSource | None = None
    """The secret of `client_id`; default EFCX's `credentials.secret`."""

    sign_in: Choice[SignInWay] = SignInWay.PASSWORD
    """How users prove their password: `password` (the gateway's own page), `sso` or `both`."""

    service_account: ClientSection | None = None
    """The client whose service account reads users and keeps their registrations."""

    issuer: BaseUrl | None = None
    """What every token's `iss` must be; default derived from `auth-server-url` and the realm."""

    timeout: Seconds = 5.0
    """Seconds until Keycloak counts as down."""

    tls: TlsSection | None = None
    """Trust and client certificate for this Keycloak alone."""


class TimeoutsSection(Section):
    """How long an app may take, in seconds."""

    connect: Seconds = 3.0
    """To accept a connection."""

    first_byte: Seconds = 60.0
    """To begin its answer."""

    between_bytes: Seconds | None = 300.0
    """Between two parts of its answer; null for none. Server-sent events have none."""


class RouteSection(Section):
    """A path prefix and the app it goes to."""

    path: RoutePath
    """Path prefix of whole segments, as /unified-admin; / is everything."""

    to: Upstream
    """Address of the app, as http://ef-cx-unified-admin-svc:3000."""

    strip_prefix: bool = False
    """Whether the prefix is taken off before the request goes on."""

    second_factor: Choice[RouteFactor] = RouteFactor.REQUIRED
    """`off` opens this route with the password alone."""

    identity: list[Choice[IdentityDelivery]] = Field(default=[IdentityDelivery.BEARER, IdentityDelivery.COOKIE])
    """How the app learns who is signed in: any of bearer, cookie, headers."""

    name: Annotated[str, Field(max_length=60)] = ""
    """The app's name in the log; default its path."""

    timeouts: TimeoutsSection = TimeoutsSection()
    """How long the app may take."""

    tls: TlsSection | None = None
    """Trust and client certificate for this app alone."""

    max_body: Annotated[int, Field(ge=0)] | None = None
    """Largest request body in bytes; none means any size."""

    allow_encoded_slash: bool = False
    """Whether %2F may stand in paths of this app."""

    service_worker: bool = False
    """Whether the app may have a service worker, for pages below the folder of its script; never from the folder /."""


class TokenCookieSection(Section):
    """The cookie in which the browser carries the upstream token."""

    name: Annotated[str, AfterValidator(_cookie_name)] = "token"
    """Its name."""

    domain: Annotated[str, AfterValidator(_cookie_domain)] = ""
    """Its domain; none means this host alone."""

    path: Annotated[str, AfterValidator(_cookie_path)] = "/"
    """Its path."""

    http_only: bool = True
    """Whether scripts are kept from it."""

    same_site: Annotated[SameSite, BeforeValidator(_same_site), _SAME_SITE_TEXT] = SameSite.LAX
    """strict, lax or none."""


class SessionSection(Section):
    """How long a session lives, in seconds."""

    idle: Annotated[int, Field(ge=60, le=604_800)] = 1800
    """Unused."""

    absolute: Annotated[int, Field(ge=60, le=2_592_000)] = 43_200
    """In all."""


class GatewaySection(Section):
    """What EFCX has no word for."""

    public_url: Origin | None = None
    """The origin browsers use, the only source of scheme, host and port; default https://{fqdn}."""

    hosts: list[HostName] = Field(default_factory=list)
    """Further host names that reach this tenant."""

    home: OwnPath | None = None
    """Where a login without a target goes; default the first route."""

    help: HelpSection = HelpSection()
    """What a user in trouble is told."""

    branding: BrandingSection = BrandingSection()
    """How the tenant's pages look."""

    keycloak: KeycloakSection = KeycloakSection()
    """How the gateway speaks to the tenant's realm."""

    routes: list[RouteSection] = Field(default_factory=list)
    """The apps behind this tenant."""

    public_paths: list[OwnPath] = Field(default_factory=list)
    """Exact paths that anybody may GET, without identity."""

    origins: list[Origin] = Field(default_factory=list)
    """Further origins whose pages may use a session."""

    token_cookie: TokenCookieSection = TokenCookieSection()
    """The cookie in which the browser carries the upstream token."""

    session: SessionSection = SessionSection()
    """How long a session lives."""

    clear_storage_at_sign_out: bool = False
    """Whether signing out also deletes what the apps store in the browser, service workers too; will be the default
    with a web storage hand-off."""

    never_trust_from: list[Network] = Field(default_factory=list)
    """Addresses or networks of shared desks: browsers there are never trusted, whatever `trustBrowserDays` says."""

    users: Annotated[int, Field(ge=1)] | None = None
    """How many users sign in at the same time, as at shift start: the check compares it with `rate` of the channel."""
