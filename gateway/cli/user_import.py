"""The command `efcx-gateway user import`: takes over the registrations that EFCX made, or reports them."""

import asyncio
import getpass
import json
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from gateway.cli.user import acts
from gateway.domain.errors import GatewayError
from gateway.domain.texts import visible
from gateway.operations.user_import import Outcome

PROGRESS = 1.0
"""Seconds between two lines of progress."""


def run(config: Path, tenant: str, *, write: bool, as_json: bool, by: str | None) -> int:
    """Take over all registrations, or only report them; return the exit code.

    0: every registration is taken over or needs nothing; 1: at least one needs attention; 2: the run did not end.
    """
    report = Report(write, quiet=as_json)
    try:
        asyncio.run(_all_pages(config, tenant, by, report))
    except GatewayError as error:
        typer.echo(f"efcx-gateway: {error}", err=True)
    except typer.Exit:  # the settings have errors, which were printed
        pass
    if as_json:
        typer.echo(json.dumps(report.data, indent=2, ensure_ascii=False))
    elif report.users or report.complete:
        typer.echo(report.summary)
    if not report.complete:
        typer.echo("not all users were read; run the command again: it skips the users that are done", err=True)
        return 2
    return int(bool(report.of(Outcome.NEEDS_ATTENTION)))


async def _all_pages(config: Path, tenant: str, by: str | None, report: "Report") -> None:
    """Fills the report. After Ctrl-C the users of the present page are finished first."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    first: int | None = 0
    begun = told = time.monotonic()
    async with acts(config) as act:
        while first is not None and not stop.is_set():
            more = {"first": str(first), "write": "yes" if report.write else ""}
            page = await act("take_over", tenant_id=tenant, by=by or getpass.getuser(), **more)
            report.add(page["users"])
            first = page["next"]
            if time.monotonic() - told >= PROGRESS:
                told = time.monotonic()
                typer.echo(f"… {len(report.users)} users in {told - begun:.0f} s", err=True)
    report.complete = first is None


@dataclass
class Report:
    """What became of each user. Unless `quiet`, each line is printed at once."""

    write: bool
    quiet: bool
    complete: bool = False
    users: list[dict[str, Any]] = field(default_factory=list)

    def add(self, users: list[dict[str, Any]]) -> None:
        """Take the users of one page."""
        self.users += users
        for one in [] if self.quiet else users:
            typer.echo(visible(f"{one['username']}: {_told(one)}"))

    def of(self, outcome: Outcome) -> list[dict[str, Any]]:
        """The users with this outcome."""
        return [one for one in self.users if one["outcome"] == outcome.value]

    @property
    def shared(self) -> list[dict[str, Any]]:
        """Each address that several users have registered, with their names."""
        users: dict[str, list[dict[str, Any]]] = {}
        for one in self.users:
            if "address_key" in one:
                users.setdefault(one["address_key"], []).append(one)
        several = (of for of in users.values() if len(of) > 1)
        return [{"address": of[0]["address"], "users": [one["username"] for one in of]} for of in several]

    @property
    def data(self) -> dict[str, Any]:
        """The whole report."""
        users = [{name: value for name, value in one.items() if name != "address_key"} for one in self.users]
        return {"written": self.write, "complete": self.complete, "users": users, "shared_addresses": self.shared}

    @property
    def summary(self) -> str:
        """The last lines of the report."""
        lines = [f"{one['address']} is shared by {', '.join(one['users'])}" for one in self.shared]
        taken, skipped, left = (len(self.of(one)) for one in Outcome)
        done = "taken over" if self.write else "would be taken over"
        lines.append(f"registrations: {len(self.users)}; {done}: {taken}; skipped: {skipped}; need attention: {left}")
        if not self.write and taken:
            lines.append("nothing was written; run the command again with --apply")
        return "\n".join(lines)


def _told(user: dict[str, Any]) -> str:
    if user["outcome"] == Outcome.TAKEN_OVER.value:
        return " ".join(filter(None, (user["factor"], user.get("address"))))
    return f"{user['outcome'].replace('-', ' ')}: {user['why']}"
