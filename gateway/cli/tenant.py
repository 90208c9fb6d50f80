"""Implements `efcx-gateway tenant …`: lists the tenants, shows one with every value in force, and checks one."""

import json
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import typer
from ruamel.yaml import YAML

from gateway.cli import tables
from gateway.cli.check_config import as_data, counted
from gateway.cli.settings import usable
from gateway.domain.errors import Misconfigured
from gateway.domain.secret import Secret
from gateway.domain.tenant import Tenant
from gateway.settings.load import SUFFIXES, load
from gateway.settings.source.diagnostics import Level

HIDDEN = "•••"
"""In place of a secret."""


def list_tenants(config: Path, *, as_json: bool) -> int:
    """Print id, address, realm, and the second factor of each tenant; return the exit code."""
    tenants = [
        {
            "id": tenant.id,
            "url": tenant.public_url,
            "hosts": list(tenant.all_hosts),
            "realm": tenant.keycloak.realm,
            "active": tenant.active,
            "second_factor": _second_factor(tenant),
        }
        for tenant in usable(config).tenants
    ]
    if as_json:
        typer.echo(json.dumps(tenants, indent=2, ensure_ascii=False))
        return 0
    rows = [
        (str(one["id"]), "\n".join(_addresses(one)), str(one["realm"]), str(one["second_factor"])) for one in tenants
    ]
    tables.table(("tenant", "address", "realm", "second factor"), rows)
    return 0


def show(config: Path, tenant_id: str, *, as_json: bool) -> int:
    """Print every value of one tenant that is in force, defaults included, without secrets; return the exit code."""
    configuration = usable(config)
    tenant = configuration.tenant(tenant_id)
    if tenant is None:
        known = ", ".join(one.id for one in configuration.tenants)
        raise Misconfigured(f"no tenant {tenant_id}; configured tenants: {known}")
    shown = plain(tenant)
    if as_json:
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return 0
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(shown, sys.stdout)
    return 0


def check(config: Path, tenant_id: str, *, as_json: bool) -> int:
    """Print the problems in the file of one tenant; return the exit code, 1 if at least one is an error."""
    loaded = load(config)
    files = [file for file in loaded.files if file.suffix in SUFFIXES and file.parent != config.parent]
    if tenant_id not in [file.stem for file in files]:
        known = ", ".join(sorted(file.stem for file in files)) or "none"
        raise Misconfigured(f"no file of a tenant {tenant_id}; files: {known}")
    found = [
        one for one in loaded.diagnostics if Path(one.file).stem == tenant_id and Path(one.file).name != config.name
    ]
    failed = any(one.level is Level.ERROR for one in found)
    if as_json:
        typer.echo(json.dumps({"ok": not failed, "faults": as_data(found)}, indent=2, ensure_ascii=False))
        return int(failed)
    for one in found:
        typer.echo(str(one))
    typer.echo(f"{'not usable' if failed else 'ok'}: tenant {tenant_id}{counted(found, before='; ')}")
    return int(failed)


def plain(value: Any) -> Any:
    """`value` as JSON can have it: dataclasses are mappings, secrets dots, and values that JSON lacks are text."""
    if isinstance(value, Secret):
        return HIDDEN if value else ""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(one) for one in value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _second_factor(tenant: Tenant) -> str:
    if not tenant.policy.enabled:
        return "off"
    return ", ".join(method.factor.value for method in tenant.policy.offered)


def _addresses(tenant: Mapping[str, Any]) -> list[str]:
    first, *more = tenant["hosts"]
    return [tenant["url"] + ("" if tenant["active"] else " (not active)"), *more] if first else []
