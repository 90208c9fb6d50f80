"""``python -m gateway`` is the command ``efcx-gateway``."""

from gateway.cli.main import main

main()
