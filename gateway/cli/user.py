"""Implements `efcx-gateway user …`: helps users who lost their second factor.

The commands use the store and the realm of a running gateway. So they need its settings, its key ring, and a store that
several processes share.
"""

import asyncio
import getpass
import json
from pathlib import Path

import typer

from gateway.crypto.sealing import Sealer
from gateway.crypto.signing import Signer
from gateway.domain.configuration import Configuration
from gateway.domain.errors import Misconfigured
from gateway.domain.ports import SystemClock, SystemRandom
from gateway.keycloak.clients import KeycloakClients
from gateway.keycloak.users import Users
from gateway.observe import logs
from gateway.observe.audit import Audit, AuditEvent
from gateway.second_factor import admin_codes
from gateway.second_factor.admin_codes import AdminCode, AdminCodes
from gateway.second_factor.factors import admin_code
from gateway.settings import key_ring
from gateway.settings.load import load
from gateway.store.factory import open_store
from gateway.store.records import Records


def code(config: Path, tenant_id: str, username: str, *, as_json: bool, by: str | None) -> int:
    """Issue an administrator's code for one user and print it once; return the exit code."""
    loaded = load(config)
    if loaded.configuration is None:
        for diagnostic in loaded.errors:
            typer.echo(str(diagnostic), err=True)
        return 1
    logs.configure(loaded.configuration.gateway.log_level)  # to standard error, because standard output is the code
    if loaded.configuration.gateway.store.in_memory:
        raise Misconfigured("store", "memory:// is not shared with this command; codes need Redis or Valkey")
    return asyncio.run(_code(loaded.configuration, config, tenant_id, username, as_json=as_json, by=by))


async def _code(
    configuration: Configuration, config: Path, tenant_id: str, username: str, *, as_json: bool, by: str | None
) -> int:
    tenant, settings = configuration.tenant(tenant_id), configuration.gateway
    if tenant is None:
        known = ", ".join(t.id for t in configuration.tenants)
        typer.echo(f"efcx-gateway: no tenant {tenant_id}; configured tenants: {known}", err=True)
        return 1
    if not tenant.policy.admin_codes and not tenant.policy.registration.needs_admin_code:
        typer.echo(f"efcx-gateway: {tenant_id} accepts no administrator's codes (twoFAConfigs.adminCodes)", err=True)
        return 1
    clock, random = SystemClock(), SystemRandom()
    ring, _ = key_ring.for_start(settings, config, clock, random)
    store, connections = open_store(settings.store, clock), KeycloakClients()
    audit = Audit(clock, Path(settings.audit_file) if settings.audit_file else None)
    try:
        account = await Users(connections).find(tenant.keycloak, username)
        if account is None:
            typer.echo(f"efcx-gateway: no user {username} in realm {tenant.keycloak.realm}", err=True)
            return 1
        records = Records(
            store=store,
            sealer=Sealer(ring, admin_codes.RECORD, random),
            clock=clock,
            name=admin_codes.RECORD,
            of=AdminCode,
        )
        codes = AdminCodes(records, Signer(ring, admin_codes.PURPOSE), clock, random)
        issuer = by or getpass.getuser()
        made = await codes.issue(tenant.id, account.user.id, issuer)
        audit.write(
            AuditEvent.ADMIN_CODE_ISSUED,
            tenant=tenant.id,
            user_id=account.user.id,
            username=account.user.username,
            by=f"command line: {issuer}",
        )
    finally:
        await connections.close()
        await store.close()
        audit.close()
    minutes = int(admin_codes.LIFE // 60)
    if as_json:
        typer.echo(json.dumps({"username": account.user.username, "code": made, "minutes": minutes}))
        return 0
    typer.echo(f"{account.user.username}: {admin_code.shown(made)}")
    typer.echo(f"valid for {minutes} minutes and one use; replaces any earlier code", err=True)
    return 0
