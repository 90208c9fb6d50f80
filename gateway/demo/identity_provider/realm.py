"""The users, clients, keys and sessions of one realm, and its judgement of a password.

Users, clients and sessions in memory; the answers are those measured on Keycloak 26.7.3.
"""

import asyncio
import secrets
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from joserfc.jwk import KeySet, RSAKey

from gateway.domain.ports import Clock, SystemClock

INVALID_CREDENTIALS = "Invalid user credentials"
NOT_SET_UP = "Account is not fully set up"


class Fault(Enum):
    """How the token endpoint fails instead of answering."""

    SILENT = "silent"
    ERROR = "error"
    HTML_ERROR = "html-error"
    HTML_DENIED = "html-denied"
    NOT_JSON = "not-json"
    REDIRECT = "redirect"


@dataclass(slots=True)
class Behaviour:
    """What servers differ in, and what happens on a bad day.

    `old_statuses`: 401 for a wrong password, as before 26.6. `disabled_first`: "Account disabled" before the password
    is looked at, as in 26.4. `gate`, when set, is passed by every password grant before it is judged.
    `refresh_delay`: seconds before a refresh token is judged.
    `silent_sign_in`: the cookie of an earlier sign-in counts, whatever the request says. `sign_in_error`: an error in
    place of the sign-in page. `rewrite`, when set, changes what the token endpoint gives for a code.
    """

    old_statuses: bool = False
    disabled_first: bool = False
    refuse_parallel: bool = True
    rotate_refresh: bool = False
    issuer: str | None = None
    token_fault: Fault | None = None
    put_fault: Fault | None = None
    gate: asyncio.Semaphore | None = None
    refresh_delay: float = 0.0
    silent_sign_in: bool = False
    sign_in_error: str = ""
    rewrite: Callable[[dict[str, Any]], dict[str, Any]] | None = None


@dataclass(slots=True, eq=False)
class StandInUser:
    """A user. `management` are roles of the client realm-management (`manage-users`); the password is the caller's."""

    username: str
    password: str = field(repr=False)
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    email_verified: bool = True
    enabled: bool = True
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    management: tuple[str, ...] = ()
    required_actions: list[str] = field(default_factory=list)
    attributes: dict[str, list[str]] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    credential_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: int = 0
    credential_date: int = 0
    failures: int = 0
    last_failure: int = 0
    locked: bool = False
    not_before: int = 0


@dataclass(slots=True, eq=False)
class StandInClient:
    """A client; without a secret it is public. `management` makes it a service account with these roles.

    `roles` are the realm roles of the service account, and `audience` is that of its tokens. `redirect_uris` are those
    of its sign-ins on the realm's own page; `pkce`: they need S256.
    """

    client_id: str
    secret: str = field(default="", repr=False)
    direct_access: bool = False
    redirect_uris: tuple[str, ...] = ()
    pkce: bool = False
    management: tuple[str, ...] | None = None
    roles: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()

    def check_grant_type(self, grant_type: str) -> bool:
        """What authlib asks; the server said no before, in Keycloak's words."""
        return bool(grant_type)


@dataclass(slots=True, eq=False)
class StandInSession:
    """A session: what a password grant or a sign-in leaves behind. `signed_in_at` is the time of the latter."""

    id: str
    user: StandInUser
    client: StandInClient
    scope: str
    started_at: float
    used_at: float
    refresh_token: str
    spent: set[str] = field(default_factory=set)
    address: str = ""
    signed_in_at: float = 0.0

    def check_client(self, client: StandInClient) -> bool:
        """What authlib asks of a refresh token."""
        return client is self.client

    def get_scope(self) -> str:
        """What authlib asks of a refresh token."""
        return self.scope


@dataclass(slots=True, eq=False)
class CodeGiven:
    """A code that the realm gave a browser, for one exchange."""

    session: StandInSession
    client: StandInClient
    redirect_uri: str
    challenge: str
    nonce: str
    acr: str
    until: float
    used: bool = False


def default_profile() -> dict[str, Any]:
    """Keycloak's user profile without required e-mail and names."""
    seen = {"view": ["admin", "user"], "edit": ["admin", "user"]}
    names = ("username", "email", "firstName", "lastName")
    return {"attributes": [{"name": name, "permissions": seen} for name in names], "groups": []}


@dataclass
class Realm:
    """One realm. `profile` is the user profile's JSON; `minimum_length` and the user name are the password policy."""

    name: str
    clients: Iterable[StandInClient] = ()
    users: list[StandInUser] = field(default_factory=list)
    roles: Iterable[str] = ()
    profile: dict[str, Any] = field(default_factory=default_profile)
    behaviour: Behaviour = field(default_factory=Behaviour)
    clock: Clock = field(default_factory=SystemClock)
    access_life: int = 300
    idle_life: int = 1800
    longest_life: int = 36000
    failure_factor: int = 30
    minimum_length: int = 8

    def __post_init__(self) -> None:
        self.sessions: dict[str, StandInSession] = {}
        self.codes: dict[str, CodeGiven] = {}
        self.ended: deque[str] = deque(maxlen=1000)  # refresh tokens of sessions that are over
        self.grants_under_way: set[str] = set()
        self.keys: list[RSAKey] = []
        self.rotate_key()
        for user in self.users:
            self.add(user)

    # ---------------------------------------------------------------- keys

    def rotate_key(self, *, keep_old: bool = True) -> None:
        """Sign with a new key from now on."""
        self.keys = [_key("RS256", "sig"), *(self.keys if keep_old else ())]

    @cached_property
    def encryption_key(self) -> RSAKey:
        """The key that is not for signatures."""
        return _key("RSA-OAEP", "enc")

    @property
    def public_keys(self) -> list[Any]:
        """The JWKS's keys: for signatures and, as with Keycloak, one for encryption."""
        return [dict(key.as_dict(private=False)) for key in (*self.keys, self.encryption_key)]

    @property
    def verification_keys(self) -> KeySet:
        """The keys that bearer tokens are verified with."""
        return KeySet([*self.keys])

    # ---------------------------------------------------------------- users

    def add(self, user: StandInUser) -> None:
        """Take a user in; dates are set."""
        now = self.milliseconds()
        user.created_at = user.created_at or now
        user.credential_date = user.credential_date or now
        if user not in self.users:
            self.users.append(user)

    def client(self, client_id: str | None) -> StandInClient | None:
        """The client with this id."""
        return next((one for one in self.clients if one.client_id == client_id), None)

    def service_account(self, client: StandInClient) -> str:
        """The id of the user that is this client's service account."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.name}/service-account-{client.client_id.lower()}"))

    def user(self, user_id: str) -> StandInUser | None:
        """The user with this id, who may be the service account of a client."""
        accounts = (
            StandInUser(f"service-account-{one.client_id.lower()}", "", roles=one.roles, id=user_id)
            for one in self.clients
            if self.service_account(one) == user_id
        )
        return next((one for one in self.users if one.id == user_id), None) or next(accounts, None)

    def named(self, name: str) -> StandInUser | None:
        """The user that signs in with this name or address, whatever its case."""
        wanted = name.casefold()
        by_name = (one for one in self.users if one.username.casefold() == wanted)
        by_mail = (one for one in self.users if one.email and one.email.casefold() == wanted)
        return next(by_name, None) or next(by_mail, None)

    def refusal(self, name: str, password: str) -> str | None:
        """What Keycloak says to this password; None when it is right. Counts failures."""
        user = self.named(name)
        if user is None:
            return INVALID_CREDENTIALS
        if self.behaviour.disabled_first and not user.enabled:
            return "Account disabled"
        if user.locked:
            return INVALID_CREDENTIALS
        if not password or not secrets.compare_digest(password.encode(), user.password.encode()):
            user.failures += 1
            user.last_failure = self.milliseconds()
            user.locked = user.failures >= self.failure_factor
            return INVALID_CREDENTIALS
        if not user.enabled:
            return "Account disabled"
        if user.required_actions:
            return NOT_SET_UP
        self.clear_failures(user)
        return None

    def clear_failures(self, user: StandInUser) -> None:
        """Forget the failed logins."""
        user.failures, user.last_failure, user.locked = 0, 0, False

    def password_fault(self, user: StandInUser, password: str) -> tuple[str, str] | None:
        """(error, description) of the first rule of the password policy that is broken."""
        if not password:
            return "Empty password not allowed", ""
        if len(password) < self.minimum_length:
            text = f"Invalid password: minimum length {self.minimum_length}."
            return "invalidPasswordMinLengthMessage", text
        if password == user.username:
            return "invalidPasswordNotUsernameMessage", "Invalid password: must not be equal to the username."
        return None

    def set_password(self, user: StandInUser, password: str, *, temporary: bool) -> None:
        """A new credential; a lasting one removes UPDATE_PASSWORD, a temporary one sets it. No session ends."""
        user.password = password
        user.credential_date = max(self.milliseconds(), user.credential_date + 1)
        others = [one for one in user.required_actions if one != "UPDATE_PASSWORD"]
        user.required_actions = [*others, "UPDATE_PASSWORD"] if temporary else others

    # ---------------------------------------------------------------- sessions

    def begin(self, user: StandInUser, client: StandInClient, scope: str) -> StandInSession:
        """A new session, as every password grant makes one."""
        now = self.clock.now()
        token = secrets.token_urlsafe(48)
        session = StandInSession(secrets.token_urlsafe(18), user, client, scope, now, now, token)
        self.sessions[session.id] = session
        return session

    def session_of(self, refresh_token: str) -> StandInSession | str:
        """The live session of a refresh token, or what Keycloak says instead."""
        now = self.clock.now()
        for session in list(self.sessions.values()):
            if session.refresh_token == refresh_token:
                if now > min(session.used_at + self.idle_life, session.started_at + self.longest_life):
                    self.end(session)
                    return "Session not active"
                return session if session.user.enabled else "User disabled"
            if refresh_token in session.spent:
                self.end(session)  # with rotation, reuse of the old token ends the session
                return "Maximum allowed refresh token reuse exceeded"
        return "Session not active" if refresh_token in self.ended else "Invalid refresh token"

    def of_user(self, user: StandInUser) -> list[StandInSession]:
        """The user's sessions."""
        return [one for one in self.sessions.values() if one.user is user]

    def end(self, session: StandInSession) -> None:
        """End one session."""
        self.sessions.pop(session.id, None)
        self.ended.extend({session.refresh_token, *session.spent})

    def end_all(self, user: StandInUser) -> None:
        """End them, and everything issued before now."""
        for session in self.of_user(user):
            self.end(session)
        user.not_before = int(self.clock.now())

    def milliseconds(self) -> int:
        """Now, as Keycloak writes dates."""
        return int(self.clock.now() * 1000)


def _key(algorithm: str, use: str) -> RSAKey:
    parameters: Any = {"alg": algorithm, "use": use, "kid": secrets.token_urlsafe(32)}
    return RSAKey.generate_key(2048, parameters)
