"""A Keycloak user as the gateway knows him, and the addresses known of him."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.domain.policy import FactorKind


@dataclass(frozen=True, slots=True)
class User:
    """Identity by issuer and subject: `id` is Keycloak's `sub` in the tenant's realm."""

    id: str
    username: str
    email: str = ""
    email_verified: bool = False
    first_name: str = ""
    last_name: str = ""
    roles: tuple[str, ...] = field(default=())

    @property
    def display_name(self) -> str:
        """What a page calls him: his name, else his user name."""
        return f"{self.first_name} {self.last_name}".strip() or self.username


@dataclass(frozen=True, slots=True)
class Contact:
    """An address known from elsewhere (the user record, a check web service); only verified ones count."""

    factor: FactorKind
    address: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Account:
    """A user as the service account reads him: whether he may sign in at all, and since when his password stands.

    `required_actions` are Keycloak's; `credential_date` is the password credential's `createdDate` in milliseconds,
    None when there is none; `created_at` in seconds since the epoch;
    `attributes` are all of them as read, for the write rule of the sealed set.
    """

    user: User
    enabled: bool
    required_actions: tuple[str, ...]
    credential_date: int | None
    created_at: float | None = None
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
