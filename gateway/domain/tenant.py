"""One EFCX tenant: hosts, Keycloak realm, routes to apps, policy, branding."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes, urlsplit
from zoneinfo import ZoneInfo

from annotated_types import Ge, Interval, MaxLen

from gateway.domain.channel import RsaServer, TlsSettings
from gateway.domain.policy import Policy
from gateway.domain.secret import Secret
from gateway.domain.setting_types import (
    SECTION,
    Change,
    Checked,
    Colour,
    CookieDomain,
    CookieName,
    CookiePath,
    EmailAddress,
    GroupPath,
    HostName,
    Language,
    Link,
    Logo,
    Name,
    Network,
    Origin,
    OwnPath,
    PageOrPath,
    RealmRole,
    RoleName,
    RoutePath,
    Seconds,
    TimeZone,
    TokenValue,
    Upstream,
    like,
)

NAME_OF_PATH = r"[a-z0-9][a-z0-9-]{0,39}"
"""The form of the name of a named path."""
NamedPaths = Mapping[str, PageOrPath]
_NAME_OF_PATH = re.compile(NAME_OF_PATH)


SSO_CALLBACK = "oidc/callback"
"""The path below the gateway's prefix to which Keycloak returns a browser after a sign-in on its own page."""


class RouteFactor(Enum):
    """`second_factor` of a route."""

    REQUIRED = "required"
    OFF = "off"


class IdentityDelivery(Enum):
    """A way in which an app gets the identity of the signed-in user."""

    BEARER = "bearer"
    COOKIE = "cookie"
    HEADERS = "headers"


class ExtraMethod(Enum):
    """A method besides those of every app, which a route may allow (WebDAV, CalDAV)."""

    PROPFIND = "PROPFIND"
    PROPPATCH = "PROPPATCH"
    MKCOL = "MKCOL"
    MKCALENDAR = "MKCALENDAR"
    COPY = "COPY"
    MOVE = "MOVE"
    LOCK = "LOCK"
    UNLOCK = "UNLOCK"
    REPORT = "REPORT"
    SEARCH = "SEARCH"
    ACL = "ACL"


class SameSite(Enum):
    """`SameSite` of a cookie."""

    STRICT = "Strict"
    LAX = "Lax"
    NONE = "None"


class SignInWay(Enum):
    """The page on which users enter their password."""

    PASSWORD = "password"  # noqa: S105 - a word of the settings
    SSO = "sso"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits for an app, in seconds."""

    __pydantic_config__ = SECTION

    connect: Seconds = 3.0
    """Maximum time until the app accepts a connection."""

    first_byte: Seconds = 60.0
    """Maximum time until the app begins its response."""

    between_bytes: Seconds | None = 300.0
    """Maximum time between two parts of a response; null for no limit. Server-sent events have no limit."""


@dataclass(frozen=True, slots=True)
class AllowedUsers:
    """Users who may use an app: those with at least one of these roles or groups."""

    __pydantic_config__ = SECTION

    roles: frozenset[RoleName] = frozenset()
    """Realm roles, as `agent`, and roles of clients, as `unified-admin:operator`."""

    groups: frozenset[GroupPath] = frozenset()
    """Full paths of Keycloak groups, as `/agents/berlin`. A path does not include its subgroups."""

    def admits(self, roles: Iterable[str], client_roles: Iterable[str] = (), groups: Iterable[str] = ()) -> bool:
        """Whether a user with these realm roles, roles of clients and groups may use the app."""
        if self is EVERYONE:
            return True
        realm_roles = (role for role in roles if ":" not in role)  # with a colon it would read as a client's role
        return not (self.roles.isdisjoint((*realm_roles, *client_roles)) and self.groups.isdisjoint(groups))


EVERYONE = AllowedUsers()
"""`allow` of a route whose app every signed-in user may use. It is this very object: a file cannot write it."""


@dataclass(frozen=True)
class Route:
    """A path prefix and its app."""

    __pydantic_config__ = SECTION

    path: RoutePath
    """Path prefix of whole segments, as /unified-admin. The longest prefix wins; / covers everything."""

    to: Upstream
    """Address of the app, as http://ef-cx-unified-admin-svc:3000."""

    strip_prefix: bool = False
    """Whether the gateway removes the prefix from the path that it sends to the app."""

    pass_host: bool = False
    """Whether the app gets the public host name in `Host`. Default: the host name of `to`. Set it for an app that
    compares `Origin` with `Host`."""

    pass_authorization: bool = False
    """Whether `public_paths` of this route get the client's own `Authorization`, as a feed with its own password needs.
    Public paths are read only (GET, HEAD)."""

    second_factor: RouteFactor = RouteFactor.REQUIRED
    """Second factor for this route. With `off` the password alone is enough."""

    allow: AllowedUsers = EVERYONE
    """Users who may use the app: those with at least one of these roles or groups in their newest token. Default: every
    signed-in user."""

    identity: frozenset[IdentityDelivery] = frozenset({IdentityDelivery.BEARER, IdentityDelivery.COOKIE})
    """Ways in which the app gets the identity of the user: any of bearer, cookie, headers."""

    name: Annotated[str, MaxLen(60)] = ""
    """Name of the app, in the log and on the page for users who may not use it. Default: its path."""

    timeouts: Timeouts = Timeouts()
    """Time limits for the app."""

    tls: TlsSettings | None = None
    """Trust and client certificate for this app alone. Default: those of `tls` in `gateway.yaml`."""

    max_body: Annotated[int, Ge(0)] | None = None
    """Maximum size of a request body, in bytes. Default: no limit."""

    allow_encoded_slash: bool = False
    """Whether paths of this app may contain %2F."""

    methods: frozenset[ExtraMethod] = frozenset()
    """Methods that the app gets besides GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS."""

    underscore_headers: bool = False
    """Whether the app gets request headers whose names have `_`. Names that a server could read as another header of
    the request, or as one of the gateway's, never pass."""

    service_worker: bool = False
    """Whether the app may have a service worker, for pages below the folder of its script; never from the folder /."""

    shared_cache: Annotated[bool, Change.HIGHER_IS_WEAKER] = False
    """Whether shared caches may store the app's responses to signed-in users. Such a response never carries the token
    cookie."""

    no_store_pages: bool = False
    """Whether browsers store no page of the app, so that the Back button shows none after a sign-out."""

    paths: NamedPaths = field(default_factory=dict, hash=False)
    """Named paths of this app, which replace those of the tenant with the same name."""

    @cached_property
    def path_segments(self) -> tuple[str, ...]:
        """The segments of `path`; none for the route of everything."""
        return tuple(self.path.split("/")[1:])

    @cached_property
    def base_path(self) -> str:
        """The path of `to`, which precedes the path of every request; "" for none."""
        return urlsplit(self.to).path.rstrip("/")


def path_name(status: str) -> str | None:
    """The name of the path for a status word of a vendor: lower case, with a hyphen for each space. None: no name.

    It is only a key of `paths`: a status never contains an address.
    """
    name = "-".join(status.lower().split())
    return name if _NAME_OF_PATH.fullmatch(name) else None


def decoded_segments(path: str) -> tuple[str, ...]:
    """The segments of a path after its first slash, each percent-decoded once; bytes that are not UTF-8 match no route.

    `/a/%62/` gives `a`, `b` and an empty one. A decoded slash stays in its segment.
    """
    return tuple([unquote_to_bytes(part).decode("utf-8", "surrogateescape") for part in path.split("/")[1:]])


def longest_match(routes: Iterable[Route], segments: tuple[str, ...]) -> Route | None:
    """The route of decoded path segments: the longest prefix of whole segments.

    The proxy, the login and the settings all decide by this function. A second reading of paths would let the proxy
    ask for a factor that the login does not.
    """
    match, length = None, -1
    for route in routes:
        prefix = route.path_segments
        if len(prefix) > length and segments[: len(prefix)] == prefix:
            match, length = route, len(prefix)
    return match


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """Users who may use the administration pages, by their realm roles in Keycloak, also those of groups."""

    __pydantic_config__ = SECTION

    administrators: Annotated[frozenset[RealmRole], Change.MAY_BE_WEAKER] = frozenset({"admin"})
    """Realm roles of the tenant's administrators. They see and help every user, and change the second factor of the
    tenant."""


@dataclass(frozen=True, slots=True)
class Help:
    """Help for users, on the password, stopped, locked and outage pages."""

    __pydantic_config__ = SECTION

    text: Annotated[str, MaxLen(500)] = ""
    """One or two sentences."""

    phone: Annotated[str, MaxLen(50)] = ""
    """Telephone number of the help desk."""

    email: EmailAddress = ""
    """Address of the help desk. A mail that a user begins on a problem page has its reference in the subject."""

    url: Link | None = None
    """Address of a page with help, or of a form for a ticket. `{reference}` in it becomes the reference of the
    problem."""

    forgot_password: Link | None = None
    """Address where users reset a forgotten password."""

    def __bool__(self) -> bool:
        return bool(self.text or self.phone or self.email or self.url or self.forgot_password)

    def url_for(self, reference: str) -> str:
        """`url` for a page that shows `reference`, "" for a page without one."""
        return (self.url or "").replace("{reference}", reference)


@dataclass(frozen=True, slots=True)
class Look:
    """Look of the tenant's pages."""

    __pydantic_config__ = SECTION

    name: Name = ""
    """Name on pages and in mails. Default: the tenant's name."""

    logo: Logo = ""
    """Address of an image, by https or on this host. Default: no logo."""

    colour: Colour = ""
    """Main colour, as "#0b5cad"."""

    language: Language = ""
    """Language of the pages for users who did not choose one."""


@dataclass(frozen=True, slots=True)
class Branding(Look):
    """Look of the tenant's pages, with the help on them."""

    help: Help = Help()


@dataclass(frozen=True, slots=True)
class Credentials:
    """A Keycloak client."""

    client_id: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class AdminUser:
    """EFCX's administrator: a user of the tenant's realm, by password grant."""

    client: Credentials
    username: str
    password: Secret


KEYCLOAK_TIMEOUT = 5.0
"""Default seconds until Keycloak counts as down."""


@dataclass(frozen=True, slots=True)
class SecondFactorBy:
    """Values of an ID token that count as the second factor. One of them is enough. Default: none."""

    __pydantic_config__ = SECTION

    acr: tuple[TokenValue, ...] = ()
    """Values of `acr`, as `2`: the level of a sign-in at Keycloak, by *Authentication, ACR to LoA mapping*."""

    amr: tuple[TokenValue, ...] = ()
    """Values of `amr`, as `otp`: the means by which the user signed in at Keycloak."""

    def named(self, acr: str, amr: Collection[str]) -> str:
        """The first of these values that a token with `acr` and `amr` has, as `acr=2`; "" for none."""
        found = (*(f"acr={value}" for value in self.acr if value == acr), *(f"amr={v}" for v in self.amr if v in amr))
        return found[0] if found else ""

    def still_names(self, value: str) -> bool:
        """Whether `value`, which `named` returned once, is named today."""
        claim, _, word = value.partition("=")
        return word in {"acr": self.acr, "amr": self.amr}.get(claim, ())


@dataclass(frozen=True, slots=True)
class SingleSignOn:
    """Sign-in on Keycloak's own pages, by the authorization code flow. Keycloak returns browsers to `redirect_uri`."""

    redirect_uri: str
    second_factor_by: SecondFactorBy = SecondFactorBy()


@dataclass(frozen=True, slots=True)
class KeycloakAccess:
    """Address of a tenant's realm, and the clients or users as which the gateway calls it.

    `url` ends in `/` (python-keycloak loses `/auth` otherwise). `issuer` is compared with every token's `iss`.
    `administration` in order of precedence: service account, the sign-in client's own, EFCX's administrator.
    `administration_fallback` is tried where the sign-in client's own service account may not administer users.
    `phone_attribute` is the user attribute with the number of a user, "" where no code is sent to numbers. `sso` is
    None where users enter their password on the gateway's own page.
    """

    url: str
    realm: str
    issuer: str
    sign_in: Credentials
    administration: Credentials | AdminUser
    otp_manager_url: str = ""
    timeout: float = KEYCLOAK_TIMEOUT
    tls: TlsSettings = TlsSettings()
    administration_fallback: AdminUser | None = None
    phone_attribute: str = ""
    sso: SingleSignOn | None = None


def _same_site(word: Any) -> SameSite:
    found = next((v for v in SameSite if isinstance(word, str) and v.value.lower() == word.lower()), None)
    if found is None:
        raise ValueError("is not known; allowed: strict, lax or none")
    return found


_SAME_SITES = [*(v.value.lower() for v in SameSite), *(v.value for v in SameSite)]


@dataclass(frozen=True, slots=True)
class TokenCookie:
    """Cookie in which the browser carries the token for the apps."""

    __pydantic_config__ = SECTION

    name: CookieName = "token"
    """Name of the cookie."""

    domain: CookieDomain = ""
    """Domain of the cookie. Default: this host alone."""

    path: CookiePath = "/"
    """Path of the cookie."""

    http_only: Annotated[bool, Change.LOWER_IS_WEAKER] = True
    """Whether the browser hides the cookie from scripts."""

    same_site: Annotated[SameSite, Checked(_same_site, {"type": "string", "enum": _SAME_SITES}, text=False)] = (
        SameSite.LAX
    )
    """`SameSite` of the cookie: strict, lax or none."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Lifetime of a session, in seconds."""

    __pydantic_config__ = SECTION

    idle: Annotated[int, Interval(ge=60, le=604_800), Change.HIGHER_IS_WEAKER] = 1800
    """Lifetime after the last request, in seconds."""

    absolute: Annotated[int, Interval(ge=60, le=2_592_000), Change.HIGHER_IS_WEAKER] = 43_200
    """Lifetime in all, in seconds."""


_REGION = re.compile("[A-Za-z]{2}")
Region = Annotated[str, like(_REGION, "must be a country of two letters, as PK", str.upper)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneNumbers:
    """Numbers to which codes may be sent."""

    __pydantic_config__ = SECTION

    region: Annotated[Region | None, Change.MAY_BE_WEAKER] = None
    """Country of numbers without a country code, two letters, as PK. Default: users write the country code."""

    countries: Annotated[frozenset[Region], Change.MAY_BE_WEAKER] = frozenset()
    """Countries to which codes may be sent, as [PK, DE]. Default: that of `region` alone. Without both, no number is
    accepted, because texts to some countries cost an attacker nothing and you much."""

    attribute: Annotated[str, MaxLen(255)] = "phoneNumber"
    """User attribute in Keycloak with the user's number. EFCX also uses `customerChannelIdentifier`. A number there
    counts as verified only if the realm's user profile lets no user edit the attribute."""

    @property
    def allowed(self) -> frozenset[str]:
        """The countries to which codes may be sent."""
        return self.countries or frozenset({self.region} if self.region else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiLimits:
    """Limits of what a client of the tenant may write into `twoFAConfigs` by the API."""

    __pydantic_config__ = SECTION

    may_switch_off: Annotated[bool, Change.HIGHER_IS_WEAKER] = False
    """Whether a client may switch the second factor off, or make it optional."""

    maxima: Annotated[dict[str, int], Change.MAY_BE_WEAKER] = field(default_factory=dict, hash=False)
    """Maximum values of keys of `twoFAConfigs`, as {otpExpiry: 300, trustBrowserDays: 14}. Default: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantApi:
    """Access of programs to this tenant by the API."""

    __pydantic_config__ = SECTION

    clients: Annotated[frozenset[TokenValue], Change.MAY_BE_WEAKER] = frozenset()
    """Clients of the tenant's realm whose service accounts may use the API. Default: none, and this tenant has no
    API."""

    audience: Annotated[TokenValue, Change.MAY_BE_WEAKER] = "gateway-api"
    """Audience (`aud`) that a token for the API must have."""

    roles: Annotated[frozenset[RoleName], Change.MAY_BE_WEAKER] = frozenset({"admin"})
    """Realm roles of which a service account needs one. The gateway reads them from Keycloak for each request."""

    limits: ApiLimits = ApiLimits()
    """Limits of what a client may write into `twoFAConfigs`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantOptions:
    """The keys of a tenant's `gateway:` section whose values are used as the file has them."""

    __pydantic_config__ = SECTION

    hosts: tuple[HostName, ...] = ()
    """Further host names that reach this tenant."""

    pages_host: Annotated[HostName | None, Change.MAY_BE_WEAKER] = None
    """Host name, without any app, of the pages for sign-in, account and administration, as login.example.com. A script
    of an app then reaches none of them. It has the scheme and port of `public_url`. Default: the hosts of the apps."""

    public_paths: tuple[OwnPath, ...] = ()
    """Exact paths that everybody may GET without signing in."""

    paths: NamedPaths = field(default_factory=dict, hash=False)
    """Named paths: pages to which `path:<name>` of `twoFAConfigs` leads a user after the login ended. A name has lower
    case letters, digits and hyphens. A page is an address of `path_addresses` in `gateway.yaml`, or one of
    `public_paths`."""

    origins: frozenset[Origin] = frozenset()
    """Further origins whose pages may use a session."""

    token_cookie: TokenCookie = TokenCookie()
    """Cookie in which the browser carries the token for the apps."""

    session: SessionLimits = SessionLimits()
    """Lifetime of a session."""

    administration: Administration = Administration()
    """Users who may use the administration pages."""

    admin_on_app_host: Annotated[bool, Change.HIGHER_IS_WEAKER] = False
    """Whether the administration pages exist on the hosts of the apps. A script of an app there can act as an
    administrator who has just confirmed."""

    time_zone: TimeZone | None = None
    """IANA time zone of the times in mails, and on pages without JavaScript, as Asia/Karachi. Default: that of the
    process (`TZ`)."""

    clear_storage_at_sign_out: Annotated[bool, Change.LOWER_IS_WEAKER] = False
    """Whether a sign-out also deletes what the apps store in the browser, service workers included. `true` will be the
    default with a web storage hand-off."""

    never_trust_from: tuple[Network, ...] = ()
    """Addresses or networks of shared desks. The gateway never trusts a browser there, whatever `trustBrowserDays`
    says, and shows no username of an earlier sign-in."""

    phone_numbers: PhoneNumbers = PhoneNumbers()
    """Numbers to which codes may be sent."""

    api: TenantApi = TenantApi()
    """Access of programs to this tenant by the API."""

    users: Annotated[int, Ge(1)] | None = None
    """Number of users that sign in at the same time, as at the start of a shift. `check-config` compares it with the
    `rate` of the channel."""


@dataclass(frozen=True)
class Tenant(TenantOptions):
    """Everything that one request may know of its tenant.

    `public_url` is an origin without a path (`https://efcx.example.com`), the only source of scheme, host and port.
    `rsa` is the tenant's own RSA server; None: that of the channel. `apps` is set on the tenant as its `pages_host`
    knows it: the tenant as the hosts of its apps know it.
    """

    id: str
    name: str
    active: bool
    public_url: str
    routes: tuple[Route, ...]
    keycloak: KeycloakAccess
    policy: Policy
    branding: Branding
    home: str = "/"
    rsa: RsaServer | None = None
    apps: "Tenant | None" = None

    @cached_property
    def pages_url(self) -> str:
        """The origin of the pages of this tenant if they are on another host than this one, else ""."""
        return self.origin_of(self.pages_host) if self.pages_host and self.apps is None else ""

    def origin_of(self, host: str) -> str:
        """Scheme and port of `public_url` with this host name."""
        url = urlsplit(self.public_url)
        return f"{url.scheme}://{host}{f':{url.port}' if url.port else ''}"

    def at_pages_host(self, prefix: str) -> "Tenant":
        """The tenant as its `pages_host` knows it: all that is its own is on that host, and no app.

        It keeps the routes, because a login there decides what an app's route asks for.
        """
        logo = f"{self.public_url}{self.branding.logo}" if self.branding.logo.startswith("/") else self.branding.logo
        return replace(
            self,
            public_url=self.pages_url,
            hosts=(),
            origins=frozenset(),
            home=f"{prefix}account",
            branding=replace(self.branding, logo=logo),
            apps=self,
        )

    def may_trust_from(self, address: str) -> bool:
        """Whether a browser at this client address may be trusted; where networks are listed, only a known address."""
        if not self.never_trust_from:
            return True
        try:
            client = ip_address(address)
        except ValueError:
            return False
        return not any(client in network for network in self.never_trust_from)

    @cached_property
    def zone(self) -> ZoneInfo | None:
        """The time zone of `time_zone`."""
        return ZoneInfo(self.time_zone) if self.time_zone else None

    @cached_property
    def secure(self) -> bool:
        """Whether browsers reach this tenant by https: `__Host-` cookie names and `Secure`."""
        return self.public_url.startswith("https://")

    @cached_property
    def host(self) -> str:
        """The host name of `public_url`, lower case, without a port."""
        return urlsplit(self.public_url).hostname or ""

    @cached_property
    def all_hosts(self) -> tuple[str, ...]:
        """Every host name that reaches this tenant."""
        return tuple(dict.fromkeys((self.host, *self.hosts)))

    @cached_property
    def own_origins(self) -> frozenset[str]:
        """Scheme and port of `public_url` with its host and each of `hosts`."""
        return frozenset(self.origin_of(host) for host in self.all_hosts)

    @cached_property
    def path_origins(self) -> tuple[str, ...]:
        """The origins of all https addresses of named paths."""
        addresses = [one for paths in (self.paths, *(r.paths for r in self.routes)) for one in paths.values()]
        return tuple(sorted({f"https://{urlsplit(one).netloc}" for one in addresses if not one.startswith("/")}))

    @cached_property
    def form_origins(self) -> tuple[str, ...]:
        """The other origins to which a form of our pages may lead: named paths, Keycloak's own sign-in page, and from
        `pages_host` the hosts of the apps."""
        issuer = urlsplit(self.keycloak.issuer)
        provider = (f"{issuer.scheme}://{issuer.netloc}",) if self.keycloak.sso else ()
        return (*self.path_origins, *provider, *(sorted(self.apps.own_origins) if self.apps else ()))

    def serves_administration(self, host: str) -> bool:
        """Whether the administration pages exist on this host name."""
        return (self.apps is not None or (self.admin_on_app_host and not self.pages_host)) and host in self.all_hosts

    def path_address(self, name: str, app: str) -> str | None:
        """The page of the path `name`: that of the route with the prefix `app`, else the tenant's; None for none.

        `name` may be a status word of a vendor (see `path_name`).
        """
        own = next((route.paths for route in self.routes if route.path == app), {})
        key = path_name(name)
        page = own.get(key) or self.paths.get(key) if key else None
        return f"{self.apps.public_url}{page}" if page and self.apps and page.startswith("/") else page

    def route_of(self, path: str) -> Route | None:
        """The route of a `path` without query, percent-encoded or not."""
        return longest_match(self.routes, decoded_segments(path))
