"""Defines the command `efcx-gateway` and its subcommands.

Each subcommand imports its code only when it is called: `--help` is fast, and `serve` loads nothing of the demo.
Exit codes: 0 success, 1 a finding, 2 the command could not run. `serve` and `demo`: 1 if they cannot start.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gateway import __version__
from gateway.domain.errors import GatewayError

app = typer.Typer(
    name="efcx-gateway",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # these tracebacks show local variables, which may be secrets
)
keys = typer.Typer(help="Manage the key ring, which encrypts enrolments and sessions.", no_args_is_help=True)
app.add_typer(keys, name="keys")
user = typer.Typer(help="Help users who cannot use their second factor.", no_args_is_help=True)
app.add_typer(user, name="user")
sessions = typer.Typer(help="See and end the sessions of users.", no_args_is_help=True)
app.add_typer(sessions, name="sessions")
tenant = typer.Typer(help="See and check the settings of single tenants.", no_args_is_help=True)
app.add_typer(tenant, name="tenant")

Config = Annotated[Path, typer.Option("--config", "-c", help="Path to gateway.yaml.", envvar="EFCX_GATEWAY_CONFIG")]
RingFile = Annotated[Path | None, typer.Argument(help="Key ring file. Default: the file named in the settings.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
DEFAULT_CONFIG = Path("config/gateway.yaml")
SERVING = ("serve", "demo")


def _tenant_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    from gateway.cli.completion import tenants

    return tenants(ctx, incomplete)


def _event_names(incomplete: str) -> list[str]:
    from gateway.cli.completion import events

    return events(incomplete)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", help="Print the version.", callback=_say_version, is_eager=True)]


@app.callback()
def options(_version: Version = False) -> None:
    """A reverse proxy that adds a second factor to the sign-in of the ExpertFlow CX web apps."""


@app.command()
def serve(config: Config = DEFAULT_CONFIG) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    import gc

    gc.disable()  # what a start makes stays; `serve` enables it when it is complete
    from gateway.crypto.tls import no_system_authorities

    with no_system_authorities():
        import aiohttp  # noqa: F401
    from gateway.cli.serve import run

    raise typer.Exit(run(config))


@app.command("check-config")
def check_config(
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
    send_test: Annotated[
        str | None, typer.Option(metavar="CHANNEL", help="Send a test message through this channel, and show it.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="Address for the test message.")] = None,
) -> None:
    """Check the settings; report every problem with file and line. Exit code 1 on errors."""
    from gateway.cli import check_config as command

    if (send_test is None) != (to is None):
        raise typer.BadParameter("--send-test and --to belong together")
    if send_test is not None and to is not None:
        raise typer.Exit(command.send_test(config, send_test, to, as_json=as_json))
    raise typer.Exit(command.run(config, as_json=as_json))


@app.command()
def demo(
    port: Annotated[int, typer.Option(help="Port to listen on.", envvar="PORT")] = 8080,
    upstream: Annotated[str | None, typer.Option(help="URL of your own app, instead of the sample apps.")] = None,
    store: Annotated[str | None, typer.Option(help="Store URL, such as redis://127.0.0.1:6379/0.")] = None,
    remote_upstream: Annotated[
        bool, typer.Option("--remote-upstream", help="Allow an --upstream on another machine.")
    ] = False,
) -> None:
    """Try the gateway on this machine with sample users, apps and an inbox."""
    from gateway.cli.demo import run

    raise typer.Exit(run(port=port, upstream=upstream, store=store, remote_upstream=remote_upstream))


@keys.command("new")
def keys_new(file: RingFile = None, config: Config = DEFAULT_CONFIG) -> None:
    """Create a key ring, or add a new key to an existing one."""
    from gateway.cli.keys import new

    raise typer.Exit(new(file, config))


@keys.command("list")
def keys_list(file: RingFile = None, config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List id and creation time of each key, newest first. Key values are never printed."""
    from gateway.cli.keys import list_keys

    raise typer.Exit(list_keys(file, config, as_json=as_json))


Username = Annotated[str, typer.Argument(help="User name or e-mail address in the tenant's realm.")]
TenantId = Annotated[str, typer.Option(help="Tenant id.", autocompletion=_tenant_ids)]
AnyTenant = Annotated[str, typer.Argument(metavar="TENANT", help="Tenant id.", autocompletion=_tenant_ids)]
By = Annotated[str | None, typer.Option(help="Your name, for the audit log. Default: the system user.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


class Source(StrEnum):
    """The copies of a user's enrolments."""

    STORE = "store"
    KEYCLOAK = "keycloak"


@user.command("code")
def user_code(
    username: Username, tenant: TenantId, config: Config = DEFAULT_CONFIG, by: By = None, as_json: AsJson = False
) -> None:
    """Issue a single-use code for a user and print it once. It works for 30 minutes and replaces any earlier code."""
    from gateway.cli.user import code

    raise typer.Exit(code(config, tenant, username, as_json=as_json, by=by))


@user.command("unlock")
def user_unlock(
    username: Username, tenant: TenantId, config: Config = DEFAULT_CONFIG, by: By = None, as_json: AsJson = False
) -> None:
    """End all locks of a user, those of single apps too. Sign-in methods and sessions stay."""
    from gateway.cli.user import unlock

    raise typer.Exit(unlock(config, tenant, username, as_json=as_json, by=by))


@user.command("reset")
def user_reset(
    username: Username,
    *,
    tenant: TenantId,
    config: Config = DEFAULT_CONFIG,
    by: By = None,
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    """Remove all sign-in methods, backup codes, trust, locks and sessions of a user. They set up a new method."""
    from gateway.cli.user import reset

    raise typer.Exit(reset(config, tenant, username, as_json=as_json, by=by, yes=yes))


@user.command("restore")
def user_restore(
    username: Username,
    *,
    tenant: TenantId,
    source: Annotated[
        Source | None, typer.Option("--from", help="The copy to accept. Default: store, if it has one.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    by: By = None,
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    """Accept the enrolments of a user although the gateway rejects them. Shows both copies first."""
    from gateway.cli.user import restore

    raise typer.Exit(restore(config, tenant, username, source=source or "", as_json=as_json, by=by, yes=yes))


@user.command("import")
def user_import(
    tenant: Annotated[str, typer.Argument(help="Tenant id.", autocompletion=_tenant_ids)],
    *,
    write: Annotated[bool, typer.Option("--apply", help="Write. Without it the command only reports.")] = False,
    config: Config = DEFAULT_CONFIG,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Take over the registrations of EFCX's own second factor. Exit code 1 if some need attention, 2 if it stopped."""
    from gateway.cli.user_import import run

    raise typer.Exit(run(config, tenant, write=write, as_json=as_json, by=by))


@user.command("show")
def user_show(
    username: Username, tenant: TenantId, config: Config = DEFAULT_CONFIG, by: By = None, as_json: AsJson = False
) -> None:
    """Show account, sign-in methods, locks and sessions of a user. Exit code 1 if something stops them.

    Example: efcx-gateway user show anna --tenant expertflow
    """
    from gateway.cli.user import show

    raise typer.Exit(show(config, tenant, username, as_json=as_json, by=by))


@sessions.command("list")
def sessions_list(
    username: Annotated[str, typer.Argument(help="User name or e-mail address. Default: all users.")] = "",
    *,
    tenant: TenantId,
    config: Config = DEFAULT_CONFIG,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """List the open sessions of a user, or of all users that Keycloak has, the newest first.

    Example: efcx-gateway sessions list anna --tenant expertflow
    """
    from gateway.cli.user import sessions

    raise typer.Exit(sessions(config, tenant, username, as_json=as_json, by=by))


@sessions.command("end")
def sessions_end(
    username: Username,
    *,
    tenant: TenantId,
    session: Annotated[str, typer.Option("--id", help="Id of one session. Default: all of the user.")] = "",
    config: Config = DEFAULT_CONFIG,
    by: By = None,
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    """Sign a user out on all replicas, also at Keycloak. Sign-in methods and locks stay.

    Example: efcx-gateway sessions end anna --tenant expertflow
    """
    from gateway.cli.user import sign_out

    raise typer.Exit(sign_out(config, tenant, username, session=session, as_json=as_json, by=by, yes=yes))


@tenant.command("list")
def tenant_list(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List every tenant with its address, realm and second factor."""
    from gateway.cli.tenant import list_tenants

    raise typer.Exit(list_tenants(config, as_json=as_json))


@tenant.command("show")
def tenant_show(tenant_id: AnyTenant, config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show every value of a tenant that is in force, defaults included. Secrets are never printed."""
    from gateway.cli.tenant import show

    raise typer.Exit(show(config, tenant_id, as_json=as_json))


@tenant.command("check")
def tenant_check(tenant_id: AnyTenant, config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Check the file of one tenant, also while others have errors. Exit code 1 on errors."""
    from gateway.cli.tenant import check

    raise typer.Exit(check(config, tenant_id, as_json=as_json))


@app.command()
def status(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show the state of the serving gateway of this host on one screen. Exit code 1 if it is not ready."""
    from gateway.cli.status import run

    raise typer.Exit(run(config, as_json=as_json))


@app.command()
def explain(
    username: Username,
    *,
    tenant_id: Annotated[str, typer.Option("--tenant", help="Tenant id.", autocompletion=_tenant_ids)] = "",
    host: Annotated[str, typer.Option(help="Host name that the browser asks for, in place of --tenant.")] = "",
    path: Annotated[str, typer.Option(help="Path that the browser asks for. Default: the tenant's home.")] = "",
    address: Annotated[str, typer.Option(help="Client address, for trust in browsers.")] = "",
    at: Annotated[str | None, typer.Option("--time", help="Time of the sign-in, in UTC. Default: now.")] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Say which rule decides when a user opens an app, and why. Exit code 1 if the user cannot open it.

    Example: efcx-gateway explain anna --host efcx.example.com --path /agent-manager
    """
    from gateway.cli.audit import moment
    from gateway.cli.explain import run

    if bool(tenant_id) == bool(host):
        raise typer.BadParameter("give --tenant or --host")
    try:
        when = "" if at is None else str(moment(at))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    question = {"tenant_id": tenant_id, "host": host, "username": username, "path": path, "address": address}
    raise typer.Exit(run(config, question | {"at": when}, as_json=as_json))


@app.command()
def audit(
    *,
    tenant_id: Annotated[
        str, typer.Option("--tenant", help="Only events of this tenant.", autocompletion=_tenant_ids)
    ] = "",
    username: Annotated[str, typer.Option("--user", help="Only events of this user name or user id.")] = "",
    event: Annotated[
        list[str] | None, typer.Option(help="Only this event; may be repeated.", autocompletion=_event_names)
    ] = None,
    reference: Annotated[str, typer.Option(help="Only events with the reference code that a page shows.")] = "",
    since: Annotated[str | None, typer.Option(help="Only events since: 30m, 2h, 1d, or 2026-11-28T09:30.")] = None,
    until: Annotated[str | None, typer.Option(help="Only events until; as --since. Times are in UTC.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Maximum number of events.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print further events as they occur.")] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show the newest events of the audit file, oldest first. Exit code 1 if none matches.

    Example: efcx-gateway audit --user jane --since 1h
    """
    from gateway.cli import audit as command
    from gateway.observe.audit_log import AuditFilter

    try:
        wanted = AuditFilter(
            tenant=tenant_id,
            user=username,
            events=frozenset(map(command.event_named, event or ())),
            reference=reference,
            since=None if since is None else command.moment(since),
            until=None if until is None else command.moment(until),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    raise typer.Exit(command.run(config, wanted, lines=lines, follows=follow, as_json=as_json))


def main() -> None:
    """Run the command line of this process."""
    try:
        app()
    except GatewayError as error:
        typer.echo(f"efcx-gateway: {error}", err=True)
        raise SystemExit(1 if sys.argv[1:2] in ([name] for name in SERVING) else 2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
