"""The command ``efcx-gateway``: which commands are there. Each is imported only when it is called."""


def main() -> None:
    """Run the command line of this process."""
    raise SystemExit("not built yet")
