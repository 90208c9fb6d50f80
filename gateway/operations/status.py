"""The state of this process in one answer, for the operator's `status` command.

`GET /status` on the operations port, with the operations token. Times are in seconds since the epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web

from gateway import __version__
from gateway.domain.configuration import GatewaySettings
from gateway.domain.tenant import Tenant
from gateway.operations.listener import has_token
from gateway.operations.readiness import Readiness
from gateway.services import Services
from gateway.settings.checks.weakenings import needs_restart


@dataclass(slots=True)
class SettingsState:
    """When the settings in force were loaded; `rejected` are the errors of newer ones that are not in force.

    `first` are the settings with which the process began.
    """

    loaded_at: float
    first: GatewaySettings
    rejected: tuple[str, ...] = ()


def routes(services: Services, readiness: Readiness, settings: SettingsState) -> list[web.RouteDef]:
    """The route of the answer. The process began now."""
    started_at = services.clock.now()

    async def status(request: web.Request) -> web.Response:
        if not has_token(request, services.configuration().gateway.operations_token):
            raise web.HTTPForbidden
        verdict = await readiness.verdict()
        configuration = services.configuration()
        body: dict[str, Any] = {
            "version": __version__,
            "started_at": started_at,
            "now": services.clock.now(),
            "ready": verdict.ready,
            "draining": verdict.draining,
            "reasons": dict(verdict.reasons),
            "warnings": {name: list(found) for name, found in verdict.warnings.items()},
            "store": "memory" if configuration.gateway.store.in_memory else "shared",
            "key_ring": services.key_ring.fingerprint,
            "keys": len(services.key_ring.keys),
            "settings": {
                "fingerprint": configuration.fingerprint[:12],
                "loaded_at": settings.loaded_at,
                "rejected": list(settings.rejected),
                "waiting": list(needs_restart(settings.first, configuration.gateway)),
            },
            "tenants": [_tenant(one) for one in configuration.tenants],
        }
        return web.json_response(body, headers={hdrs.CACHE_CONTROL: "no-store"})

    return [web.get("/status", status)]


def _tenant(tenant: Tenant) -> Mapping[str, Any]:
    return {
        "id": tenant.id,
        "url": tenant.public_url,
        "active": tenant.active,
        "second_factor": [one.factor.value for one in tenant.policy.offered] if tenant.policy.enabled else [],
    }
