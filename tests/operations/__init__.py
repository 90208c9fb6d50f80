"""Tests of `gateway.operations`."""
