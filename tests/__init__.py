"""Facts about the gateway, shown on real servers on the loopback address."""
