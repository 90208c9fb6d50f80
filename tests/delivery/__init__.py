"""Tests of `gateway.delivery`."""
