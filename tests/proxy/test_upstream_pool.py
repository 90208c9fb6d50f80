"""Tests of the choice of the next connection to an app."""

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from gateway.domain.channel import TlsSettings
from gateway.domain.tenant import Route
from gateway.proxy.upstream_connection import BadResponse, NoConnection, TooSlow, UpstreamConnection
from gateway.proxy.upstream_pool import UpstreamOrigin, UpstreamPool
from tests.fixtures.ports import free_port
from tests.fixtures.proxy_server import app_that, read_head
from tests.fixtures.silent_address import addresses, silent_address
from tests.fixtures.upstream import RawUpstream

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def exchange(wire: UpstreamConnection) -> None:
    """Runs one whole exchange."""
    wire.begin("GET")
    await wire.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await wire.answer()).status == 200
    while await wire.read():
        pass


async def test_a_reusable_connection_is_reused(raw_upstream: RawUpstream) -> None:
    pool, origin = UpstreamPool(), UpstreamOrigin.of(Route("", raw_upstream.url))
    wire = await pool.at(origin).connect(2)
    await exchange(wire)
    pool.at(origin).give_back(wire)
    assert pool.at(origin).take_idle() is wire
    assert pool.at(origin).take_idle() is None
    wire.abort()


async def test_a_connection_with_an_incomplete_answer_is_not_kept(raw_upstream: RawUpstream) -> None:
    pool, origin = UpstreamPool(), UpstreamOrigin.of(Route("", raw_upstream.url))
    wire = await pool.at(origin).connect(2)
    wire.begin("GET")
    await wire.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await wire.answer()
    pool.at(origin).give_back(wire)
    assert pool.at(origin).take_idle() is None


async def test_a_kept_connection_that_the_app_closed_is_not_reused() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(OK)

    pool = UpstreamPool()
    async with app_that(script) as app:
        origin = UpstreamOrigin.of(Route("", app.url))
        wire = await pool.at(origin).connect(2)
        await exchange(wire)
        pool.at(origin).give_back(wire)
        await app.closed.wait()
        for _ in range(100):  # turns of the loop in which the end of the connection arrives
            await asyncio.sleep(0)
        assert pool.at(origin).take_idle() is None


async def test_the_number_of_kept_connections_is_limited(raw_upstream: RawUpstream) -> None:
    pool, origin = UpstreamPool(idle_each=1), UpstreamOrigin.of(Route("", raw_upstream.url))
    wires = [await pool.at(origin).connect(2) for _ in range(2)]
    for wire in wires:
        await exchange(wire)
        pool.at(origin).give_back(wire)
    assert [wire.reusable for wire in wires] == [True, False]
    pool.close()
    assert not wires[0].reusable


async def test_a_connection_that_was_idle_too_long_is_closed(raw_upstream: RawUpstream) -> None:
    pool, origin = UpstreamPool(idle_seconds=0.05), UpstreamOrigin.of(Route("", raw_upstream.url))
    wire = await pool.at(origin).connect(2)
    await exchange(wire)
    pool.at(origin).give_back(wire)
    await asyncio.wait_for(raw_upstream.connections[0].closed.wait(), 5)
    assert pool.at(origin).take_idle() is None


def test_apps_with_different_tls_settings_share_no_connection() -> None:
    one, two = (UpstreamOrigin.of(Route("", "https://app", tls=TlsSettings(ca_file=ca))) for ca in ("a.pem", "b.pem"))
    assert one != two
    assert (one.host, one.port) == (two.host, two.port) == ("app", 443)


async def test_an_unreachable_app_is_reported_with_its_origin() -> None:
    origin = UpstreamOrigin.of(Route("", f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(NoConnection, match=r"http://127\.0\.0\.1:"):
        await UpstreamPool().at(origin).connect(2)


@pytest.mark.both_loops
async def test_a_plain_answer_to_a_tls_handshake_is_reported_as_such() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    async with app_that(script) as app:
        with pytest.raises(NoConnection, match=r"no TLS; for an app without TLS write http://"):
            await UpstreamPool().at(UpstreamOrigin.of(Route("", app.url.replace("http:", "https:")))).connect(5)


@pytest.mark.both_loops
async def test_a_tls_alert_as_answer_to_plain_http_is_reported_as_such(tmp_path: Path) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"\x15\x03\x01\x00\x02\x02\x46")

    async with app_that(script) as app:
        wire = await UpstreamPool().at(UpstreamOrigin.of(Route("", app.url))).connect(5)
        wire.begin("GET")
        await wire.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(BadResponse, match=r"TLS, not HTTP; for an app with TLS write https://"):
            await wire.answer(5)


async def test_a_tls_handshake_that_does_not_end_is_a_timeout() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        await asyncio.Event().wait()

    async with app_that(script) as app:
        with pytest.raises(TooSlow, match="no TLS handshake in"):
            await UpstreamPool().at(UpstreamOrigin.of(Route("", app.url.replace("http:", "https:")))).connect(0.2)


@pytest.mark.row("GW-33")
async def test_a_private_authority_is_trusted_where_the_route_names_it(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(OK)
        writer.close()

    port, pool = free_port(), UpstreamPool()
    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    url = f"https://127.0.0.1:{port}"
    with pytest.raises(NoConnection, match=r"see tls\.upstreams\.ca_file"):
        await pool.at(UpstreamOrigin.of(Route("", url))).connect(2)
    trusting = Route("", url, tls=TlsSettings(ca_file=str(tmp_path / "ca.pem")))
    wire = await pool.at(UpstreamOrigin.of(trusting)).connect(2)
    await exchange(wire)
    wire.abort()
    server.close()
    await server.wait_closed()


async def test_a_silent_first_address_of_a_name_does_not_hide_the_second(
    raw_upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with silent_address() as silent:
        addresses(monkeypatch, silent, ("127.0.0.1", raw_upstream.port))
        wire = await UpstreamPool().at(UpstreamOrigin.of(Route("", "http://app.internal"))).connect(5)
        await exchange(wire)
        wire.abort()


async def test_a_name_whose_addresses_are_all_silent_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    async with silent_address() as silent:
        addresses(monkeypatch, silent)
        with pytest.raises(TooSlow, match=r"no connection in 0\.5 s"):
            await UpstreamPool().at(UpstreamOrigin.of(Route("", "http://app.internal"))).connect(0.5)
