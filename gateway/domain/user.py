"""A Keycloak user as the gateway knows them, and their known addresses."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.domain.policy import FactorKind


@dataclass(frozen=True, slots=True)
class User:
    """Identity by issuer and subject: `id` is Keycloak's `sub` in the tenant's realm.

    `phone` is the number as the user record has it; it is verified if no user of the realm may edit it. `attributes`
    are those that a web service of the tenant is asked with. `roles` are realm roles; `client_roles` are `client:role`.
    `groups` are what the claim of that name has: full paths, if the realm is set up so.
    """

    id: str
    username: str
    email: str = ""
    email_verified: bool = False
    first_name: str = ""
    last_name: str = ""
    roles: tuple[str, ...] = field(default=())
    phone: str = ""
    phone_verified: bool = False
    attributes: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    client_roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def display_name(self) -> str:
        """The name that a page shows: first and last name, else the user name."""
        return f"{self.first_name} {self.last_name}".strip() or self.username

    def attribute(self, name: str) -> str:
        """The value of an attribute, "" for none."""
        return dict(self.attributes).get(name, "")


@dataclass(frozen=True, slots=True)
class Contact:
    """An address known from elsewhere (the user record, a check web service); only verified ones count."""

    factor: FactorKind
    address: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Account:
    """A user as the service account reads them.

    `required_actions` are Keycloak's. `credential_date` is the `createdDate` of the password credential in
    milliseconds, None when the user's directory does not tell it: then nothing says whether a password is still the
    same. `created_at` is in seconds since the epoch. `attributes` are all that
    Keycloak returned, for the write rule of the sealed set.
    """

    user: User
    enabled: bool
    required_actions: tuple[str, ...]
    credential_date: int | None
    created_at: float | None = None
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
