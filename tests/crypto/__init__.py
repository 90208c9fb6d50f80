"""Tests of `gateway.crypto`."""
