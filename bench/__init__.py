"""Benchmarks: scripts that start the gateway, measure it and print figures. They assert nothing."""
