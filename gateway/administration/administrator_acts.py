"""What the acts of an administrator share: the tenant, and the audit event with their name."""

from dataclasses import dataclass
from typing import Any

from gateway.domain.errors import Misconfigured
from gateway.domain.tenant import Tenant
from gateway.domain.user import Account, User
from gateway.observe.audit import AuditEvent
from gateway.services import Services
from gateway.web.request_context import new_reference


@dataclass(frozen=True, slots=True)
class AdministratorActs:
    """The base of classes whose public methods are acts. `through` is what the administrator uses, for the audit."""

    services: Services
    through: str = "command line"

    def _tenant(self, tenant_id: str) -> Tenant:
        configuration = self.services.configuration()
        tenant = configuration.tenant(tenant_id)
        if tenant is None:
            known = ", ".join(one.id for one in configuration.tenants)
            raise Misconfigured(f"no tenant {tenant_id}; configured tenants: {known}")
        return tenant

    async def _account(self, tenant: Tenant, username: str) -> Account:
        account = await self.services.users.find(tenant.keycloak, username)
        if account is None:
            raise Misconfigured(f"no user {username} in realm {tenant.keycloak.realm}")
        return account

    def _audit(self, event: AuditEvent, tenant: Tenant, user: User, by: str, **details: Any) -> str:
        """Audits an act; returns its reference."""
        reference = new_reference(self.services.random)
        self.services.audit.write(
            event,
            tenant=tenant.id,
            user_id=user.id,
            username=user.username,
            reference=reference,
            by=f"{self.through}: {by}",
            **details,
        )
        return reference
