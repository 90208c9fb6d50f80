"""Tests of free ports for tests."""

import socket

from tests.ports import free_port


def test_a_free_port_is_below_the_kernels_ephemeral_range() -> None:
    assert 1024 < free_port() < 32768


def test_no_port_is_given_twice() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == len(ports)


def test_a_server_can_listen_on_a_free_port() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert server.getsockname()[1]
