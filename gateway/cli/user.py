"""The commands `efcx-gateway user …`: help a user who lost their second factor.

The commands use the store and the realm of a running gateway. So they need its settings, its key ring, and a store that
several processes share.
"""

import asyncio
import getpass
import json
from pathlib import Path

import typer

from gateway.crypto.key_ring import KeyRing
from gateway.domain.configuration import Configuration
from gateway.domain.errors import Misconfigured
from gateway.domain.policy import Registration
from gateway.domain.ports import SystemClock, SystemRandom
from gateway.domain.tenant import Tenant
from gateway.observe import logs
from gateway.observe.audit import AuditEvent
from gateway.second_factor.factors import admin_code
from gateway.services import open_services
from gateway.settings import key_ring
from gateway.settings.load import load


def code(config: Path, tenant_id: str, username: str, *, as_json: bool, by: str | None) -> int:
    """Issue an administrator's code for one user and print it once; return the exit code."""
    loaded = load(config)
    if loaded.configuration is None:
        for diagnostic in loaded.errors:
            typer.echo(str(diagnostic), err=True)
        return 1
    settings = loaded.configuration.gateway
    logs.configure(settings.log_level)  # to standard error, because standard output is the code
    if settings.store.in_memory:
        raise Misconfigured("store", "memory:// is not shared with this command; codes need Redis or Valkey")
    tenant = loaded.configuration.tenant(tenant_id)
    if tenant is None:
        known = ", ".join(t.id for t in loaded.configuration.tenants)
        return _refused(f"no tenant {tenant_id}; configured tenants: {known}")
    if not tenant.policy.admin_codes and tenant.policy.registration is Registration.OPEN:
        return _refused(f"{tenant_id} accepts no administrator's codes (twoFAConfigs.adminCodes)")
    ring, _ = key_ring.for_start(settings, config, SystemClock(), SystemRandom())
    made = asyncio.run(_issue(loaded.configuration, ring, tenant, username, by))
    if made is None:
        return _refused(f"no user {username} in realm {tenant.keycloak.realm}")
    found, new = made
    minutes = int(admin_code.LIFE // 60)
    if as_json:
        typer.echo(json.dumps({"username": found, "code": new, "minutes": minutes}))
        return 0
    typer.echo(f"{found}: {admin_code.shown(new)}")
    typer.echo(f"valid for {minutes} minutes and one use; replaces any earlier code", err=True)
    return 0


async def _issue(
    configuration: Configuration, ring: KeyRing, tenant: Tenant, username: str, by: str | None
) -> tuple[str, str] | None:
    """The user's name at Keycloak and their new code; None when there is no such user."""
    async with open_services(lambda: configuration, ring) as services:
        account = await services.users.find(tenant.keycloak, username)
        if account is None:
            return None
        user, issuer = account.user, by or getpass.getuser()
        made = await services.admin_codes.issue(tenant.id, user.id, issuer)
        services.audit.write(
            AuditEvent.ADMIN_CODE_ISSUED,
            tenant=tenant.id,
            user_id=user.id,
            username=user.username,
            by=f"command line: {issuer}",
        )
        return user.username, made


def _refused(why: str) -> int:
    typer.echo(f"efcx-gateway: {why}", err=True)
    return 1
