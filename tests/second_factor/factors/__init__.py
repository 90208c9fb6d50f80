"""Tests of `gateway.second_factor.factors`."""
