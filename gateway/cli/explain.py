"""Implements `efcx-gateway explain`: which rule decides for a user, an address of an app and a time."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from gateway.cli import tables
from gateway.cli.user import acts
from gateway.domain.texts import visible

LABELS = {
    "tenant": "tenant",
    "user": "user",
    "account": "account",
    "route": "app",
    "answer": "answer",
    "app": "may open it",
    "second_factor": "second factor",
    "factors": "enrolled",
    "contacts": "known addresses",
    "backup_codes": "backup codes",
    "decision": "decision",
    "in_a_trusted_browser": "in a trusted browser",
    "after_a_factor_in_this_session": "after a code in this session",
    "after_a_factor_at_keycloak": "after a factor at Keycloak",
    "no_trust_from": "no trust from",
    "locked_by": "locked",
}
"""The lines, in their order."""


def run(config: Path, question: Mapping[str, str], *, as_json: bool) -> int:
    """Print the verdict with everything that it depends on; return the exit code, 1 if the user cannot open the app."""

    async def once() -> dict[str, Any]:
        async with acts(config) as carry_out:
            return await carry_out("explain", **question)

    said = asyncio.run(once())
    if as_json:
        typer.echo(json.dumps(said, indent=2, ensure_ascii=False))
    else:
        for name, label in LABELS.items():
            if text := _line(name, said):
                typer.echo(f"{label + ':':<30}{visible(text)}")
    return int(_is_stopped(said))


def _is_stopped(said: Mapping[str, Any]) -> bool:
    stopped = said.get("decision", "").startswith(("stopped", "the sign-in is stopped"))
    return bool(stopped or said["account"] or said.get("app") == "denied" or "locked_by" in said or not said["route"])


def _line(name: str, said: Mapping[str, Any]) -> str:
    """The text of one line; "" for none."""
    value = said.get(name, "")
    match name:
        case "user":
            return f"{said['username']} ({said['user_id']})"
        case "tenant":
            return str(value) if said["active"] else f"{value} (not active)"
        case "account":
            return "; ".join(value) or "enabled"
        case "route":
            return f"{value} ({said['app_address']})" if value else "none"
        case "app":
            return f"{value}: {said['app_rule']}" if value else ""
        case "second_factor":
            asks = "the route asks for it" if said.get("route_asks") else "the route does not ask for it"
            return f"{value}; {asks}; enrolment {said['enrolment']}" if value else ""
        case "factors" | "contacts":
            return ", ".join(map(_address, value)) or "none" if name in said else ""
        case "decision":
            return f"{value} (rule {said['rule']})" if value else ""
        case "locked_by":
            return f"until {tables.utc(said['locked_until'])} by {value}" if value else ""
        case _ if isinstance(value, dict):
            return f"{value['decision']} (rule {value['rule']})"
    return str(value) if name in said else ""


def _address(one: Mapping[str, Any]) -> str:
    words = [one["factor"], one.get("address", ""), "" if one.get("verified", True) else "(not verified)"]
    return " ".join(filter(None, words))
