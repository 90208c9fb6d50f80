"""The operations of the API on tenants."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter

from gateway.admin.api.operations import Authority, Call, Operation, Result
from gateway.admin.denials import Denial, Reason
from gateway.admin.tenants import TenantObject, Tenants
from gateway.domain.tenant import Tenant

MERGE_PATCH = "application/merge-patch+json"
_WRITING = (Reason.READ_ONLY, Reason.FOLDERS_DIFFER, Reason.CHANGED)
_WHOLE = MappingProxyType(
    {
        "type": "object",
        "description": "EFCX's tenant object, and a section `gateway`: as in a tenant file.",
        "required": ["tenantId", "tenantName", "status", "tenantSettings"],
        "properties": {
            "tenantId": {"type": "string"},
            "tenantName": {"type": "string"},
            "status": {"type": "string"},
            "tenantSettings": {"type": "object"},
            "gateway": {"type": "object"},
        },
    }
)
_PART = MappingProxyType(
    {
        "type": "object",
        "description": "The keys to change, and no other: a JSON Merge Patch (RFC 7396). `null` removes a key.",
        "properties": {"tenantSettings": {"type": "object", "properties": {"twoFAConfigs": {"type": "object"}}}},
    }
)


@dataclass(frozen=True, slots=True)
class TenantSummary:
    """A tenant in force."""

    tenantId: str
    tenantName: str
    active: bool
    fqdn: str
    is2FAEnabled: bool
    preset: str


@dataclass(frozen=True, slots=True)
class TenantList:
    """The tenants in force."""

    tenants: tuple[TenantSummary, ...]


@dataclass(frozen=True, slots=True)
class TenantOperations:
    """The operations, on `tenants`."""

    tenants: Tenants

    def all(self) -> tuple[Operation, ...]:
        """Each of them."""
        one, operator, administrator = "/tenants/{tenantId}", Authority.OPERATOR, Authority.ADMINISTRATOR
        return (
            Operation("GET", "/tenants", "listTenants", "List the tenants", operator, self.list, TenantList),
            Operation(
                "POST",
                "/tenants",
                "createTenant",
                "Create a tenant",
                operator,
                self.create,
                Mapping,
                status=201,
                body=Mapping[str, Any],
                body_schema=_WHOLE,
                reasons=(Reason.EXISTS, *_WRITING),
            ),
            Operation(
                "GET", one, "readTenant", "Read a tenant, with its secrets masked", administrator, self.read, Mapping
            ),
            Operation(
                "PATCH",
                one,
                "changeTenant",
                "Change the given keys of a tenant; a tenant's administrator those of twoFAConfigs alone",
                administrator,
                self.change,
                Mapping,
                body=Mapping[str, Any],
                body_types=("application/json", MERGE_PATCH),
                body_schema=_PART,
                reasons=_WRITING,
                with_etag=True,
            ),
            Operation(
                "DELETE",
                one,
                "deleteTenant",
                "Delete a tenant",
                operator,
                self.delete,
                None,
                reasons=_WRITING,
                with_etag=True,
            ),
        )

    async def list(self, _call: Call) -> Result:
        """The tenants in force."""
        found = TenantList(tuple(_summary(tenant) for tenant in self.tenants.configuration().tenants))
        return Result(TypeAdapter(TenantList).dump_python(found, mode="json"))

    async def create(self, call: Call) -> Result | Denial:
        """A new tenant."""
        return _result(await self.tenants.create(call.body, call.caller, call.audit))

    async def read(self, call: Call) -> Result | Denial:
        """One tenant."""
        return _result(await self.tenants.read(call.tenant_id, call.caller))

    async def change(self, call: Call) -> Result | Denial:
        """The given keys."""
        return _result(await self.tenants.change(call.tenant_id, call.body, call.caller, call.audit, call.if_match))

    async def delete(self, call: Call) -> Result | Denial:
        """No tenant any more."""
        found = await self.tenants.delete(call.tenant_id, call.caller, call.audit, call.if_match)
        return found if isinstance(found, Denial) else Result(None)


def _result(found: TenantObject | Denial) -> Result | Denial:
    return found if isinstance(found, Denial) else Result(found.data, {"ETag": f'"{found.etag}"'})


def _summary(tenant: Tenant) -> TenantSummary:
    return TenantSummary(
        tenantId=tenant.id,
        tenantName=tenant.name,
        active=tenant.active,
        fqdn=tenant.host,
        is2FAEnabled=tenant.policy.enabled,
        preset=tenant.policy.preset,
    )
