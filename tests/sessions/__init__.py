"""Tests of `gateway.sessions`."""
