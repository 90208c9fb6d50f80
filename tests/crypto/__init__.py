"""Tests of gateway.crypto."""
