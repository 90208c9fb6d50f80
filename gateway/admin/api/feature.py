"""Mounts the API: on the public port for programs of a tenant, on the operations port for the operator."""

from aiohttp import web

from gateway.admin import callers
from gateway.admin.api.audit_operations import AuditOperations
from gateway.admin.api.frame import Api
from gateway.admin.api.operations import Operation
from gateway.admin.api.tenant_operations import TenantOperations
from gateway.admin.api.user_operations import UserOperations
from gateway.admin.callers import Caller, ServiceAccounts
from gateway.admin.denials import Denial
from gateway.admin.tenants import SettingsFiles, Tenants
from gateway.keycloak.tokens import Verifier
from gateway.services import Services
from gateway.web.request_context import TENANT


def public_routes(services: Services, settings: SettingsFiles | None) -> list[web.RouteDef]:
    """The routes for programs with a bearer token."""
    accounts = ServiceAccounts(Verifier(services.keycloak_clients), services.users, services.clock)

    async def caller_of(request: web.Request) -> Caller | Denial:
        return await accounts.caller(request, request[TENANT])

    return _api(services, settings, caller_of).routes()


def operator_routes(services: Services, settings: SettingsFiles | None) -> list[web.RouteDef]:
    """The routes for the operator, with the operations token."""

    async def caller_of(request: web.Request) -> Caller | Denial:
        return callers.operator(request, services.configuration().gateway.operations_token)

    return _api(services, settings, caller_of).routes()


def operations(services: Services, settings: SettingsFiles | None) -> tuple[Operation, ...]:
    return (
        *TenantOperations(Tenants(services.configuration, services.lock, settings)).all(),
        *UserOperations(services).all(),
        *AuditOperations(services).all(),
    )


def _api(services: Services, settings: SettingsFiles | None, caller_of: callers.CallerOf) -> Api:
    return Api(
        operations=operations(services, settings),
        prefix=services.configuration().gateway.prefix,
        caller_of=caller_of,
        configuration=services.configuration,
        audit=services.audit,
        random=services.random,
    )
