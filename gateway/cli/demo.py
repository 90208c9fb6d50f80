"""Implements `efcx-gateway demo`: the same gateway with sample users, apps, identity provider and inbox."""

from gateway.cli.serve import check_aiohttp
from gateway.domain.errors import Misconfigured

try:
    from gateway.demo.start import Options, main
except ModuleNotFoundError as missing:  # a production installation does not include the demo's packages
    raise Misconfigured("demo", f"{missing.name} is not installed; run: pip install 'efcx-gateway[demo]'") from missing


def run(*, port: int, upstream: str | None, store: str | None, remote_upstream: bool) -> int:
    """Run the demo until Ctrl-C; return the exit code."""
    check_aiohttp()
    return main(Options(port=port, upstream=upstream, store=store, remote_upstream=remote_upstream))
