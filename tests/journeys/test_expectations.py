"""Clients that send `Expect: 100-continue`, at the gateway's own pages."""

import asyncio
import re
from urllib.parse import urlsplit

import pytest

from tests.fixtures.proxy_server import read_head, status_of, until_quiet
from tests.fixtures.site import Site

ASKED = b"HTTP/1.1 100 Continue\r\n\r\n"


async def begun(site: Site, *fields: str, version: str = "1.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Sends the head of a form for the password page, without its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.settings.port)
    own = ("Content-Type: application/x-www-form-urlencoded", "Content-Length: 10", "Connection: close", *fields)
    writer.write("\r\n".join([f"POST /-/login/password HTTP/{version}", *own, "", ""]).encode())
    return reader, writer


async def test_a_client_that_expects_100_continue_gets_it_once_and_its_form_is_read(light_site: Site) -> None:
    reader, writer = await begun(light_site, f"Host: {urlsplit(light_site.base).netloc}", "Expect: 100-continue")
    assert await asyncio.wait_for(read_head(reader), 5) == ASKED
    writer.write(b"username=a")
    assert 400 <= status_of(await until_quiet(reader)) < 500  # without the token of a form
    writer.close()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (("Host: nobody.example", "Expect: 100-continue"), 421),
        (("Host: localhost", "Host: localhost", "Expect: 100-continue"), 400),
        (("Host: localhost", "Expect: <b>something else"), 417),
    ],
)
async def test_a_refused_request_gets_no_100_continue(fields: tuple[str, ...], status: int, light_site: Site) -> None:
    reader, writer = await begun(light_site, *fields)
    head = await asyncio.wait_for(read_head(reader), 5)
    said = await asyncio.wait_for(reader.readexactly(int(re.findall(rb"(?i)content-length: (\d+)", head)[0])), 5)
    writer.close()
    assert status_of(head) == status
    assert b"something else" not in head + said


async def test_a_client_of_http_1_0_gets_no_100_continue(light_site: Site) -> None:
    host = f"Host: {urlsplit(light_site.base).netloc}"
    reader, writer = await begun(light_site, host, "Expect: 100-continue", version="1.0")
    writer.write(b"username=a")
    assert ASKED not in await until_quiet(reader)
    writer.close()
