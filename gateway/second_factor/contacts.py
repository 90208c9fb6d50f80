"""Reads the known addresses of a user.

The login reads them once, after a right password, and pins them. The only source is the user record in Keycloak. Only
an address that Keycloak has verified counts, because users may write their own profile.
"""

from gateway.domain.policy import FactorKind
from gateway.domain.user import Contact, User


def of_user(user: User) -> tuple[Contact, ...]:
    """The contacts of the user record."""
    if not user.email:
        return ()
    return (Contact(FactorKind.EMAIL, user.email, user.email_verified),)
