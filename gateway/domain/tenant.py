"""One EFCX tenant: hosts, Keycloak realm, routes to apps, policy, branding."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import unquote_to_bytes, urlsplit

from gateway.domain.channel import TlsSettings
from gateway.domain.policy import Policy
from gateway.domain.secret import Secret


class RouteFactor(Enum):
    """`second_factor` of a route."""

    REQUIRED = "required"
    OFF = "off"


class IdentityDelivery(Enum):
    """How an app learns who is signed in (GW-08)."""

    BEARER = "bearer"
    COOKIE = "cookie"
    HEADERS = "headers"


class SameSite(Enum):
    """`SameSite` of a cookie."""

    STRICT = "Strict"
    LAX = "Lax"
    NONE = "None"


class SignInWay(Enum):
    """How users prove their password."""

    PASSWORD = "password"  # noqa: S105 - a word of the settings
    SSO = "sso"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; `between_bytes` None means none, as it is for server-sent events."""

    connect: float = 3.0
    first_byte: float = 60.0
    between_bytes: float | None = 300.0


@dataclass(frozen=True, slots=True)
class Route:
    """A path prefix (whole segments, no trailing slash; "" is everything) and the app it goes to.

    `to` is `scheme://host[:port][/base]` without a trailing slash. `service_worker`: the app may serve scripts
    of service workers, but for those whose folder covers the gateway's own pages.
    """

    path: str
    to: str
    strip_prefix: bool = False
    second_factor: RouteFactor = RouteFactor.REQUIRED
    identity: frozenset[IdentityDelivery] = frozenset({IdentityDelivery.BEARER, IdentityDelivery.COOKIE})
    name: str = ""
    timeouts: Timeouts = Timeouts()
    tls: TlsSettings = TlsSettings()
    max_body: int | None = None
    allow_encoded_slash: bool = False
    service_worker: bool = False

    @property
    def segments(self) -> tuple[str, ...]:
        """The segments of `path`; none for the route of everything."""
        return tuple(self.path.split("/")[1:])


def decoded_segments(path: str) -> tuple[str, ...]:
    """The segments of a path after its first slash, each percent-decoded once; bytes that are not UTF-8 match no route.

    `/a/%62/` gives `a`, `b` and an empty one. A decoded slash stays in its segment.
    """
    return tuple(unquote_to_bytes(part).decode("utf-8", "surrogateescape") for part in path.split("/")[1:])


def longest_match(routes: Iterable[Route], segments: tuple[str, ...]) -> Route | None:
    """The route of decoded path segments: the longest prefix of whole segments.

    The proxy, the login and the settings all decide by this function. A second reading of paths would let the proxy
    ask for a factor that the login does not.
    """
    match, length = None, -1
    for route in routes:
        prefix = route.segments
        if len(prefix) > length and segments[: len(prefix)] == prefix:
            match, length = route, len(prefix)
    return match


@dataclass(frozen=True, slots=True)
class Help:
    """What a user in trouble is told (GW-31)."""

    text: str = ""
    phone: str = ""
    url: str = ""
    forgot_password: str = ""

    def __bool__(self) -> bool:
        return bool(self.text or self.phone or self.url or self.forgot_password)


@dataclass(frozen=True, slots=True)
class Branding:
    """How a tenant's pages look; `colour` is `#rrggbb`, `logo` an own-origin or data-free https URL."""

    name: str
    logo: str = ""
    colour: str = ""
    language: str = ""
    help: Help = Help()


@dataclass(frozen=True, slots=True)
class Credentials:
    """A Keycloak client."""

    client_id: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class AdminUser:
    """EFCX's own way to administer a realm: a user of the tenant's realm by password grant."""

    client: Credentials
    username: str
    password: Secret


@dataclass(frozen=True, slots=True)
class KeycloakAccess:
    """Where a tenant's realm is and as whom the gateway speaks to it.

    `url` ends in `/` (python-keycloak loses `/auth` otherwise). `issuer` is compared with every token's `iss`.
    `administration` in order of precedence: service account, the sign-in client's own, EFCX's administrator.
    `administration_fallback` is tried where the sign-in client's own service account may not administer users.
    """

    url: str
    realm: str
    issuer: str
    sign_in: Credentials
    administration: Credentials | AdminUser
    way: SignInWay = SignInWay.PASSWORD
    otp_manager_url: str = ""
    timeout: float = 5.0
    tls: TlsSettings = TlsSettings()
    administration_fallback: AdminUser | None = None


@dataclass(frozen=True, slots=True)
class TokenCookie:
    """The upstream token cookie. Without a domain it is host-only."""

    name: str = "token"
    domain: str = ""
    path: str = "/"
    http_only: bool = True
    same_site: SameSite = SameSite.LAX


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Seconds a session lives unused, and in all."""

    idle: int = 1800
    absolute: int = 43200


@dataclass(frozen=True, slots=True)
class Tenant:
    """Everything one request may know of its tenant.

    `public_url` is an origin without a path (`https://efcx.example.com`), the only source of scheme, host and port.
    `hosts` are further host names (lower case, no port). `users` is how many are expected to sign in at the same time.
    `clear_storage_at_sign_out`: a sign-out deletes what the apps store in the browser.
    """

    id: str
    name: str
    active: bool
    public_url: str
    routes: tuple[Route, ...]
    keycloak: KeycloakAccess
    policy: Policy
    branding: Branding
    hosts: tuple[str, ...] = ()
    home: str = "/"
    public_paths: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    token_cookie: TokenCookie = TokenCookie()
    session: SessionLimits = SessionLimits()
    paths: tuple[tuple[str, str], ...] = field(default=())
    users: int | None = None
    clear_storage_at_sign_out: bool = False
    never_trust_from: tuple[IPv4Network | IPv6Network, ...] = ()

    def may_trust_from(self, address: str) -> bool:
        """Whether a browser at this client address may be trusted; where networks are listed, only a known address."""
        if not self.never_trust_from:
            return True
        try:
            client = ip_address(address)
        except ValueError:
            return False
        return not any(client in network for network in self.never_trust_from)

    @property
    def secure(self) -> bool:
        """Whether browsers reach this tenant by https: `__Host-` cookie names and `Secure`."""
        return self.public_url.startswith("https://")

    @property
    def host(self) -> str:
        """The host name of `public_url`, lower case, without a port."""
        return urlsplit(self.public_url).hostname or ""

    @property
    def all_hosts(self) -> tuple[str, ...]:
        """Every host name that reaches this tenant."""
        return (self.host, *(h for h in self.hosts if h != self.host))

    @property
    def own_origins(self) -> frozenset[str]:
        """Scheme and port of `public_url` with its host and each of `hosts`."""
        url = urlsplit(self.public_url)
        port = f":{url.port}" if url.port else ""
        return frozenset(f"{url.scheme}://{host}{port}" for host in self.all_hosts)

    def route_of(self, path: str) -> Route | None:
        """The route of a `path` without query, percent-encoded or not."""
        return longest_match(self.routes, decoded_segments(path))
