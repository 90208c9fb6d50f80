"""The commands `efcx-gateway user …`: help a user who lost their second factor, or whose enrolments are rejected.

With a shared store the commands use it and the realm directly, with the settings and the key ring of the gateway. With
`memory://` the serving gateway carries them out (`operations.user_requests`).
"""

import asyncio
import getpass
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import typer

from gateway.cli import tables
from gateway.cli.explanation import ACTS
from gateway.cli.settings import whole, without_tenants
from gateway.domain.ports import SystemClock, SystemRandom
from gateway.domain.texts import visible
from gateway.observe import logs
from gateway.operations import key_ring_check, user_requests
from gateway.second_factor.factors import admin_code
from gateway.services import open_services
from gateway.settings import key_ring
from gateway.settings.load import load

Act = Callable[..., Awaitable[dict[str, Any]]]
FINDINGS = {
    "": "the gateway accepts them",
    "missing": "Keycloak has none, although the gateway wrote some",
    "unopenable": "those in Keycloak do not open",
    "older": "those in Keycloak are older than the newest ones",
    "altered": "those in Keycloak are not the ones that the gateway wrote",
    "guard-unopenable": "the store's copy does not open",
}


def code(config: Path, tenant: str, username: str, *, as_json: bool, by: str | None) -> int:
    """Issue an administrator's code for one user and print it once; return the exit code."""
    made = _act("code", config, tenant, username, by)
    if as_json:
        typer.echo(json.dumps(made))
        return 0
    typer.echo(f"{made['username']}: {admin_code.shown(made['code'])}")
    typer.echo(f"valid for {made['minutes']} minutes and one use; replaces any earlier code", err=True)
    return 0


def unlock(config: Path, tenant: str, username: str, *, as_json: bool, by: str | None) -> int:
    """End all locks of one user; return the exit code."""
    done = _act("unlock", config, tenant, username, by)
    typer.echo(json.dumps(done) if as_json else f"{done['username']} is not locked now; every count begins at 0")
    return 0


def reset(config: Path, tenant: str, username: str, *, as_json: bool, by: str | None, yes: bool) -> int:
    """Remove all factors of one user; return the exit code."""
    if not yes:
        typer.confirm(f"Remove all sign-in methods and sessions of {username}?", abort=True, err=True)
    done = _act("reset", config, tenant, username, by)
    text = f"{done['username']} has no sign-in method now, and was signed out of {done['sessions']} sessions"
    return _said(done, text, as_json=as_json)


def restore(config: Path, tenant: str, username: str, *, source: str, as_json: bool, by: str | None, yes: bool) -> int:
    """Accept the rejected enrolments of one user; return the exit code."""
    found = _act("show", config, tenant, username, by)
    typer.echo(f"{found['username']}: {FINDINGS.get(found['finding'], found['finding'])}", err=True)
    for place in ("keycloak", "store"):
        typer.echo(f"  {place}: {_told(found[place])}", err=True)
    if not found["finding"]:
        typer.echo(json.dumps(found) if as_json else "nothing to restore")
        return 0
    source = source or ("store" if found["store"] else "keycloak")
    if not yes:
        typer.confirm(f"Accept the enrolments of {source}?", abort=True, err=True)
    done = _act("restore", config, tenant, username, by, source=source, digest=found["digest"])
    factors = ", ".join(done["factors"]) or "none"
    return _said(done, f"{done['username']}: the enrolments of {done['source']} count now ({factors})", as_json=as_json)


def show(config: Path, tenant: str, username: str, *, as_json: bool, by: str | None) -> int:
    """Print what is known of one user; return the exit code, 1 if something stops them."""
    said = _act("report", config, tenant, username, by)
    locks = [f"until {tables.utc(one['until'])} by {one['setting']}" for one in said["locks"]]
    if said["locked_by_keycloak"]:
        until = said["locked_by_keycloak_until"]
        locks.append(f"{f'until {tables.utc(until)} ' if until else ''}by Keycloak")
    stopped = bool(said["finding"] or locks or said["required_actions"] or not said["enabled"])
    if as_json:
        typer.echo(json.dumps(said, indent=2, ensure_ascii=False))
        return int(stopped)
    address = f"{said['email']}{'' if said['email_verified'] else ' (not verified)'}" if said["email"] else "none"
    lines = {
        "user": f"{said['username']} ({said['user_id']}), {said['name']}",
        "account": "; ".join(said["required_actions"]) or ("enabled" if said["enabled"] else "disabled in Keycloak"),
        "address": address,
        "methods": ", ".join(" ".join(one.values()) for one in said["factors"]) or "none",
        "backup codes": str(said["backup_codes"]),
        "enrolments": FINDINGS.get(said["finding"], said["finding"]),
        "locked": "; ".join(locks) or "no",
        "sessions": str(len(said["sessions"])),
    }
    for label, text in lines.items():
        typer.echo(f"{label + ':':<15}{visible(text)}")
    return int(stopped)


def sessions(config: Path, tenant: str, username: str, *, as_json: bool, by: str | None) -> int:
    """Print the open sessions of one user or of all users of a tenant, the newest first; return the exit code."""
    if username:
        found = _act("report", config, tenant, username, by)["sessions"]
    else:
        found = asyncio.run(_sessions_of(config, tenant, by or getpass.getuser()))
    found = sorted(found, key=lambda one: one["began"], reverse=True)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return 0
    if not found:
        typer.echo(f"{username} has no open session" if username else "no user has an open session")
        return 0
    columns = ("began (UTC)" if username else "user", "last used (UTC)", "second factor", "session")
    rows = [
        (
            tables.minute(one["began"]) if username else one["username"],
            tables.minute(one["used"]),
            "admin's code" if one["assisted"] else one["second_factor"],
            one["id"],
        )
        for one in found
    ]
    tables.table(columns, rows)
    return 0


async def _sessions_of(config: Path, tenant: str, by: str) -> list[dict[str, Any]]:
    """The sessions of every page of users."""
    found: list[dict[str, Any]] = []
    first: int | None = 0
    async with acts(config) as carry_out:
        while first is not None:
            page = await carry_out("sessions", tenant_id=tenant, by=by, first=str(first))
            found += page["sessions"]
            first = page["next"]
    return found


def sign_out(
    config: Path, tenant: str, username: str, *, session: str, as_json: bool, by: str | None, yes: bool
) -> int:
    """End one session of a user, or all of them; return the exit code."""
    if not yes:
        which = f"session {session} of {username}" if session else f"all sessions of {username}"
        typer.confirm(f"End {which}?", abort=True, err=True)
    done = _act("sign_out", config, tenant, username, by, session=session)
    ended = f"{done['sessions']} session{'' if done['sessions'] == 1 else 's'}"
    typer.echo(json.dumps(done) if as_json else f"{done['username']} was signed out of {ended}")
    return 0


def _act(act: str, config: Path, tenant: str, username: str, by: str | None, **more: str) -> dict[str, Any]:
    """The result of one act for one user."""

    async def once() -> dict[str, Any]:
        async with acts(config) as carry_out:
            return await carry_out(act, tenant_id=tenant, username=username, by=by or getpass.getuser(), **more)

    return asyncio.run(once())


@asynccontextmanager
async def acts(config: Path) -> AsyncIterator[Act]:
    """A function that carries out an act by its name, in this process or at the serving gateway."""
    loaded = load(config)
    settings = without_tenants(loaded)
    logs.configure(settings.log_level)  # to standard error, because standard output is the result
    if settings.store.in_memory:

        async def remote(act: str, **arguments: str) -> dict[str, Any]:
            return await user_requests.ask(settings, act, arguments)

        yield remote
        return
    configuration = whole(loaded)
    ring, _ = key_ring.for_start(settings, config, SystemClock(), SystemRandom())
    async with open_services(lambda: configuration, ring) as services:
        await key_ring_check.compare(services.store, ring, exactly=True)

        async def here(act: str, **arguments: str) -> dict[str, Any]:
            return await user_requests.act_of(services, act, ACTS)(**arguments)

        yield here


def _said(done: dict[str, Any], text: str, *, as_json: bool) -> int:
    mailed = f"mail sent to {', '.join(done['mailed'])}" if done["mailed"] else "no mail was sent; tell the user"
    typer.echo(json.dumps(done) if as_json else f"{text}; {mailed}")
    return 0


def _told(copy: dict[str, Any] | None) -> str:
    if copy is None:
        return "nothing that opens"
    factors = [" ".join(one.values()) for one in copy["factors"]] or ["no factor"]
    return f"version {copy['version']}: {', '.join(factors)}; {copy['backup_codes']} backup codes"
