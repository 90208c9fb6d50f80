"""Tests of `gateway.store`."""
