"""The command `efcx-gateway demo`: the same gateway, with neighbours that are made up here."""

from gateway.cli.serve import check_aiohttp
from gateway.domain.errors import Misconfigured

try:
    from gateway.demo.start import Options, main
except ModuleNotFoundError as missing:  # an installation for production has no need of them
    raise Misconfigured("demo", f"{missing.name} is not installed: pip install 'efcx-gateway[demo]'") from missing


def run(*, port: int, upstream: str | None, store: str | None, remote_upstream: bool) -> int:
    """Run the demo until Ctrl-C; the exit code."""
    check_aiohttp()
    return main(Options(port=port, upstream=upstream, store=store, remote_upstream=remote_upstream))
