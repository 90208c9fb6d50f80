"""Finds the addresses of a user that are known from elsewhere, once after a right password; the login pins them.

They are those of the user record in Keycloak. Where the tenant has a contact service, they are the methods that this
service calls verified, and no others: nothing that the user enrolled counts beside them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import structlog

from gateway.delivery.http_calls import NoAnswer
from gateway.delivery.phone_numbers import e164
from gateway.delivery.smtp import one_address
from gateway.delivery.web_services import WebServiceCalls
from gateway.domain.challenge import Elsewhere
from gateway.domain.channel import Channel
from gateway.domain.errors import Misconfigured, Unreachable
from gateway.domain.policy import FactorKind, Policy
from gateway.domain.tenant import Tenant
from gateway.domain.user import Account, Contact, User
from gateway.domain.web_services import WebServices
from gateway.keycloak.users import Users
from gateway.second_factor.factors.external import SUCCESS
from gateway.second_factor.requirement import contacts_of

NOT_FOUND = "not found"
_KINDS: Mapping[str, tuple[FactorKind, ...]] = {
    "email": (FactorKind.EXTERNAL_EMAIL, FactorKind.EMAIL),
    "sms": (FactorKind.EXTERNAL_SMS, FactorKind.SMS),
    "authenticator": (FactorKind.EXTERNAL_APP,),
}
"""The factors that a method of the service may be; the tenant offers at most one of them."""
_LONGEST = 254
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """`user` has the attributes that the tenant's services are asked with."""

    user: User
    contacts: tuple[Contact, ...]


@dataclass(frozen=True, slots=True)
class Contacts:
    """See the module's text."""

    services: WebServiceCalls
    users: Users

    async def find(
        self,
        tenant: Tenant,
        policy: Policy,
        channels: Mapping[str, Channel],
        account: Account,
        user: User,
        *,
        asked: bool,
    ) -> Known | Elsewhere:
        """The contacts of `user`; `Elsewhere` when the service ends the login. `asked`: the route asks for a factor.

        Raises `Unreachable` when the service does not answer, `Misconfigured` when its channel is gone.
        """
        of_record = contacts_of(account.user, tenant.phone_numbers)
        if policy.contact_service is None or not policy.enabled or not asked:
            return Known(user, of_record)
        channel = channels.get(policy.contact_service)
        services = channel.service if channel else None
        if not isinstance(services, WebServices):
            raise Misconfigured("channels", f"{policy.contact_service} is no longer configured")
        user = await self._with_attributes(tenant, services, account, user)
        if not services.check.customer(user):
            log.warning("customer_not_known", tenant=tenant.id, user_id=user.id, service=policy.contact_service)
            return Known(user, ())
        answer = await self.services.check(services, user)
        if isinstance(answer, NoAnswer):
            raise Unreachable(f"contact service {policy.contact_service}", answer.reason)
        if answer.status == NOT_FOUND:
            return Known(user, ())
        if answer.status != SUCCESS:
            return Elsewhere(answer.status)
        known = Known(user, of_record)
        return replace(known, contacts=tuple(_contacts(tenant, policy, services, answer.methods, known)))

    async def _with_attributes(self, tenant: Tenant, services: WebServices, account: Account, user: User) -> User:
        """`user` with the attributes that the services need. One that users may edit themselves is none."""
        given = {name for name in services.attributes if account.attributes.get(name)}
        guarded = await self.users.guarded(tenant.keycloak, frozenset(given))
        return replace(user, attributes=tuple((name, account.attributes[name][0]) for name in sorted(guarded)))


def _contacts(
    tenant: Tenant, policy: Policy, services: WebServices, methods: Mapping[str, str], known: Known
) -> Iterator[Contact]:
    """The methods of the service that the tenant offers. An address without a value is that of the user record."""
    for name, value in methods.items():
        for kind in policy.by_factor.keys() & set(_KINDS.get(name, ())):
            if kind not in (FactorKind.EMAIL, FactorKind.SMS):  # sent by the service: the address is for the page only
                yield Contact(kind, value if len(value) <= _LONGEST else "", verified=True)
                continue
            given = value or _of_record(kind, services, known)
            address = one_address(given) if kind is FactorKind.EMAIL else e164(given, tenant.phone_numbers)
            if isinstance(address, str):
                yield Contact(kind, address, verified=True)


def _of_record(kind: FactorKind, services: WebServices, known: Known) -> str:
    """The address of the user record, "" for none."""
    if kind is FactorKind.EMAIL and services.email_attribute:
        return known.user.attribute(services.email_attribute)
    return next((c.address for c in known.contacts if c.factor is kind and c.verified), "")
