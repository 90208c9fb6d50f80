"""The gateway with dependencies of its own, to try it in a minute."""
