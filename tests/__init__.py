"""Tests of the gateway, on real servers on the loopback address."""
