"""Tests of `gateway.web`."""
