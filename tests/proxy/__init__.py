"""Tests of the proxy, with raw bytes."""
