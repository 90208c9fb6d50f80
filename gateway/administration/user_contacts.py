"""The act of an administrator on a user's e-mail address and mobile number in Keycloak."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.administration.user_recovery import UserRecovery
from gateway.delivery.phone_numbers import e164
from gateway.delivery.smtp import one_address
from gateway.domain.problem import Problem
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.services import Services

BAD, NOT_ALLOWED, TAKEN = "bad", "not-allowed", "taken"
"""Why a value cannot be used: its form, the countries of the tenant, or another user who has it."""


@dataclass(frozen=True, slots=True)
class Contact:
    """Address and number as an administrator wrote them. `verified`: the administrator confirms the address."""

    email: str
    phone: str
    verified: bool


@dataclass(frozen=True, slots=True)
class UserContacts:
    """Numbers are stored where the tenant sends codes to them."""

    services: Services
    recovery: UserRecovery

    async def save(self, tenant: Tenant, user: User, wanted: Contact, by: str) -> Mapping[str, str]:
        """Store both and mail the user at their addresses before; or the fields that cannot be used, each with why."""
        access = tenant.keycloak
        email, phone, wrong = _read(tenant, user, wanted)
        if wrong:
            return wrong
        number = phone if access.phone_attribute and phone != user.phone else None
        verified = wanted.verified and bool(email)
        async with self.services.enrolments.alone(tenant, user.id):
            done = await self.services.profiles.set_contact(access, user.id, email, number, verified=verified)
        if not done:
            return {"email": TAKEN}
        changed = [
            name for name, old, new in (("email", user.email, email), ("phone", user.phone, phone)) if old != new
        ]
        await self.recovery.contact_changed(tenant.id, user, by, changed)
        return {}


def _read(tenant: Tenant, user: User, wanted: Contact) -> tuple[str, str, dict[str, str]]:
    """Address and number in the spelling that is stored, and the fields that cannot be used."""
    email, phone, wrong = wanted.email.strip(), wanted.phone.strip(), dict[str, str]()
    if email and one_address(email) is None:
        wrong["email"] = BAD
    if phone and phone != user.phone and tenant.keycloak.phone_attribute:
        found = e164(phone, tenant.phone_numbers)
        if isinstance(found, Problem):
            wrong["phone"] = NOT_ALLOWED if found is Problem.NUMBER_NOT_ALLOWED else BAD
        else:
            phone = found
    return email, phone, wrong
