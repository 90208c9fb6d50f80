"""Which addresses are known of a user?

Gathered once, when the password was right; the login pins them. Today's only source is the user record in Keycloak,
and of it only an e-mail address that Keycloak has verified: a user may write his own profile (`security.md` F4).
"""

from gateway.domain.policy import FactorKind
from gateway.domain.user import Contact, User


def of_user(user: User) -> tuple[Contact, ...]:
    """The contacts of the user record."""
    if not user.email:
        return ()
    return (Contact(FactorKind.EMAIL, user.email, user.email_verified),)
