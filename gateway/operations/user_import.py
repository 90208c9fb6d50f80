"""Takes over the registrations that users made with EFCX's own second factor.

EFCX keeps them as plain attributes of the Keycloak user. They are worth something only while users cannot write them,
so the realm's user profile is read with each page of users, and must forbid it. An imported registration is sealed in
the gateway's own attribute, and no login ever reads EFCX's attributes.

A user is imported at most once. The mark is the sealed set itself: the gateway's attribute has one as soon as it wrote
anything for a user, and turning off the last factor or a reset leaves an empty one. It is in Keycloak, so it survives
the store.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import structlog

from gateway.administration.administrator_acts import AdministratorActs
from gateway.domain.challenge import Draft, Rejected
from gateway.domain.channel import ChannelType
from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.errors import GatewayError, Misconfigured
from gateway.domain.policy import FACTOR_OF_CHANNEL, FactorKind
from gateway.domain.problem import Problem
from gateway.domain.tenant import Tenant
from gateway.domain.user import Account
from gateway.keycloak.http_errors import where
from gateway.keycloak.user_profile_schema import not_sealed_off
from gateway.observe.audit import AuditEvent
from gateway.observe.redaction import mask_address
from gateway.second_factor import requirement
from gateway.second_factor.factors import table
from gateway.web.request_context import new_reference

REGISTERED, CHANNEL, ADDRESS, SECRET = "is2FARegistered", "twoFAChannel", "customerChannelIdentifier", "otpSecret"
PHONE = "phoneNumber"
"""Older versions of EFCX keep the number here. Many realms let users edit it, which concerns such users alone."""
CHANNELS = (ChannelType.EMAIL, ChannelType.SMS, ChannelType.APP, ChannelType.RSA)
"""The channels that EFCX's own second factor has."""
PAGE = 20
"""Users of one call: few enough for the time limit of a call, and for an operator who interrupts."""
_ALWAYS = (REGISTERED, CHANNEL, ADDRESS, SECRET)
ATTRIBUTES = (*_ALWAYS, PHONE)
"""All attributes of EFCX that the import reads."""
log = structlog.get_logger(__name__)


class Outcome(Enum):
    """What becomes of one user's registration."""

    TAKEN_OVER = "taken-over"
    """It counts now; in a dry run, it would."""
    SKIPPED = "skipped"
    """There is nothing to do."""
    NEEDS_ATTENTION = "needs-attention"
    """It was not taken over, and the operator should know why."""


@dataclass(frozen=True, slots=True)
class Left:
    """A registration that is not taken over."""

    why: str
    outcome: Outcome = Outcome.NEEDS_ATTENTION


@dataclass(frozen=True, slots=True)
class UserImport(AdministratorActs):
    """See the module's text."""

    async def take_over(self, tenant_id: str, by: str, first: str = "0", write: str = "") -> dict[str, Any]:
        """Take over the registrations of one page of users, from number `first` on; without `write` only report them.

        The result has `users`, and `next`: the number at which the next page begins, None after the last one. Raises
        as `UserRecovery`, also `errors.Misconfigured` if users may write EFCX's attributes.
        """
        tenant, start = self._tenant(tenant_id), int(first)
        schema = await self.services.profiles.schema(tenant.keycloak)
        if open_to_users := list(filter(None, (not_sealed_off(schema, name) for name in _ALWAYS))):
            raise Misconfigured(where(tenant.keycloak), f"no registration is taken over: {'; '.join(open_to_users)}")
        accounts = await self.services.users.with_attribute(tenant.keycloak, REGISTERED, "true", start, PAGE)
        users = [await self._user(tenant, one, by, not_sealed_off(schema, PHONE), bool(write)) for one in accounts]
        return {"users": users, "next": start + PAGE if len(accounts) == PAGE else None}

    async def _user(self, tenant: Tenant, account: Account, by: str, phone: str, write: bool) -> dict[str, Any]:
        """One user's line of the report. No error of one user ends the run."""
        line: dict[str, Any] = {"username": account.user.username, "outcome": Outcome.TAKEN_OVER.value}
        try:
            found = await self._found(tenant, account, phone)
            if isinstance(found, Draft):
                line |= {"factor": found.factor.value, **self._address(tenant, found)}
                left = await self._write(tenant, account, found, by) if write else None
            else:
                left = found
        except GatewayError as error:
            left = Left(str(error))
        except Exception:
            log.exception("user_not_imported", tenant=tenant.id, user_id=account.user.id)
            left = Left("the gateway failed; see the log")
        return line | ({"outcome": left.outcome.value, "why": left.why} if left else {})

    async def _found(self, tenant: Tenant, account: Account, phone: str) -> Draft | Left:
        """The enrolment that the user's registration becomes; `phone` is why the older attribute does not count."""
        copies = await self.services.enrolments.copies(tenant, account.user.id)
        if copies.rejected:
            return Left(f"the gateway rejects their enrolments ({copies.rejected.finding}); see user restore")
        if copies.keycloak:
            why = "already enrolled" if copies.keycloak.enrolments else "has removed their factors, or was reset"
            return Left(why, Outcome.SKIPPED)
        if several := [name for name in ATTRIBUTES if len(account.attributes.get(name, ())) > 1]:
            return Left(f"the attribute {several[0]} has several values")
        values = {name: "".join(account.attributes.get(name, ())).strip() for name in ATTRIBUTES}
        channel = next((one for one in CHANNELS if one.value == values[CHANNEL].upper()), None)
        if channel is None:
            return Left(f"the channel {values[CHANNEL][:40]!r} is unknown")
        kind = FACTOR_OF_CHANNEL[channel]
        if table.TYPES[kind].enrolled_elsewhere:
            return Left(f"{channel.value} needs no registration", Outcome.SKIPPED)
        method = tenant.policy.by_factor.get(kind)
        if method is None:
            return Left(f"the tenant does not offer {channel.value}")
        given = values[ADDRESS] if kind in table.SENT else values[SECRET]
        if kind is FactorKind.SMS and not given and values[PHONE]:
            if phone:
                return Left(phone)
            given = values[PHONE]
        channels = self.services.configuration().channels
        delivery = self.services.delivery(
            tenant, channels.get(method.channel or ""), new_reference(self.services.random)
        )
        draft = await self.services.challenges.factor(delivery, kind).take_over(account.user, given, delivery)
        if isinstance(draft, Rejected):
            if draft.problem is Problem.NUMBER_NOT_ALLOWED:
                return Left("the tenant sends no codes to this number (gateway.phone_numbers)")
            return Left("the address is invalid" if kind in table.SENT else "the secret is invalid")
        contacts = requirement.contacts_of(account.user, tenant.phone_numbers)
        if draft.address and not requirement.takes_address(tenant.policy, contacts, kind, draft.address):
            return Left("the tenant takes verified addresses of the profile only")
        return draft

    def _address(self, tenant: Tenant, draft: Draft) -> dict[str, str]:
        """The address as the report shows it, and a key by which the report finds other users of the same address."""
        if not draft.address:
            return {}
        key = self.services.challenges.name_of_address(tenant.id, draft.address)
        return {"address": mask_address(draft.address), "address_key": key}

    async def _write(self, tenant: Tenant, account: Account, draft: Draft, by: str) -> Left | None:
        written = await self.services.enrolments.add(tenant, account.user.id, EnrolmentSet(), draft.as_enrolment())
        if written is None:
            return Left("their enrolments were changed in the meantime; run the command again")
        to = {"to": mask_address(draft.address)} if draft.address else {}
        self._audit(AuditEvent.ENROLMENT_IMPORTED, tenant, account.user, by, factor=draft.factor.value, **to)
        return None
