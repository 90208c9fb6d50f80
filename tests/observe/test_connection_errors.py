"""Reasons of failed connections."""

from gateway.observe.connection_errors import why_not_connected


def test_errors_that_name_each_other_as_their_cause_have_a_reason() -> None:
    first, second = ValueError("first"), TimeoutError()
    first.__cause__, second.__cause__ = second, first
    assert why_not_connected(first, tls="tls.store") == "no response in time"
