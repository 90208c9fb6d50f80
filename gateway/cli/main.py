"""The command ``efcx-gateway``: which commands are there?

Each is imported only when it is called, so that `--help` is there at once and nothing of the demo is loaded by `serve`.
Exit codes: 0 done, 1 something is wrong with the settings or a neighbour, 2 the command was used wrongly.
"""

from pathlib import Path
from typing import Annotated

import typer

from gateway import __version__
from gateway.domain.errors import GatewayError

app = typer.Typer(
    name="efcx-gateway",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, among them secrets
)
keys = typer.Typer(help="The key ring that seals registrations and sessions.", no_args_is_help=True)
app.add_typer(keys, name="keys")
user = typer.Typer(help="Help a user who lost his second factor.", no_args_is_help=True)
app.add_typer(user, name="user")

Config = Annotated[Path, typer.Option("--config", "-c", help="Path of gateway.yaml.", envvar="EFCX_GATEWAY_CONFIG")]
RingFile = Annotated[Path | None, typer.Argument(help="File of the ring; default the one that --config names.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
DEFAULT_CONFIG = Path("config/gateway.yaml")


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", help="Print the version.", callback=_say_version, is_eager=True)]


@app.callback()
def options(_version: Version = False) -> None:
    """A reverse proxy that puts a second factor in front of the ExpertFlow CX web apps."""


@app.command()
def serve(config: Config = DEFAULT_CONFIG) -> None:
    """Run the gateway until it is told to end (SIGTERM, Ctrl-C)."""
    from gateway.cli.serve import run

    raise typer.Exit(run(config))


@app.command("check-config")
def check_config(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Say everything that is wrong with the settings, with file and line. Exit code 1 on errors."""
    from gateway.cli.check_config import run

    raise typer.Exit(run(config, as_json=as_json))


@app.command()
def demo(
    port: Annotated[int, typer.Option(help="Port of the demo on this machine.", envvar="PORT")] = 8080,
    upstream: Annotated[str | None, typer.Option(help="An app of yours, to put the login in front of it.")] = None,
    store: Annotated[str | None, typer.Option(help="A real store, as redis://127.0.0.1:6379/0.")] = None,
    remote_upstream: Annotated[bool, typer.Option(help="Allow an --upstream on another machine.")] = False,
) -> None:
    """Try everything on this machine: users, apps and an inbox are made up."""
    from gateway.cli.demo import run

    raise typer.Exit(run(port=port, upstream=upstream, store=store, remote_upstream=remote_upstream))


@keys.command("new")
def keys_new(file: RingFile = None, config: Config = DEFAULT_CONFIG) -> None:
    """Write a key ring, or put a new key in front of one that is there."""
    from gateway.cli.keys import new

    raise typer.Exit(new(file, config))


@keys.command("list")
def keys_list(file: RingFile = None, config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Name the keys of the ring, newest first; never what they are."""
    from gateway.cli.keys import list_keys

    raise typer.Exit(list_keys(file, config, as_json=as_json))


@user.command("code")
def user_code(
    username: Annotated[str, typer.Argument(help="User name, or e-mail address, in the tenant's realm.")],
    tenant: Annotated[str, typer.Option(help="The tenant's id.")],
    config: Config = DEFAULT_CONFIG,
    by: Annotated[str | None, typer.Option(help="Who asks for it, for the audit; default the system's user.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a one-time code for a user and show it once: 30 minutes, one use, any earlier one is void."""
    from gateway.cli.user import code

    raise typer.Exit(code(config, tenant, username, as_json=as_json, by=by))


def main() -> None:
    """Run the command line of this process."""
    try:
        app()
    except GatewayError as error:
        typer.echo(f"efcx-gateway: {error}", err=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
