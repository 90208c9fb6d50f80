"""The gateway with neighbours of its own, to try it in a minute."""
