"""Tests of reading an own form."""

import gzip
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import strategies as st

from gateway.web import forms
from gateway.web.forms import InvalidForm, read_fields
from tests.fixtures.properties import Reached, nearly, property_test

MAX_BODY = 20 * 1024

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


async def answer(request: web.Request) -> web.Response:
    """Returns the result of `read_fields` for the body."""
    fields = await read_fields(request)
    if isinstance(fields, InvalidForm):
        return web.json_response({"problem": fields.problem.value}, status=fields.status)
    return web.json_response({"fields": dict(fields)})


async def read(body: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Sends `body` to a real server and returns the result."""
    app = web.Application()
    app.router.add_post("/", answer)
    async with TestClient(TestServer(app)) as client, client.post("/", data=body, headers=headers or FORM) as response:
        return response.status, await response.json()


async def test_a_form_is_read_as_a_flat_mapping_of_text() -> None:
    status, read_ = await read(b"csrf=x&username=a%40b&password=p+%C3%A4&code=")
    assert (status, read_) == (200, {"fields": {"csrf": "x", "username": "a@b", "password": "p ä", "code": ""}})


async def test_json_is_read_like_a_form_with_words_for_booleans_and_without_null() -> None:
    status, read_ = await read(b'{"code": "012345", "remember": true, "factor": null}', JSON)
    assert (status, read_) == (200, {"fields": {"code": "012345", "remember": "true"}})


async def test_an_empty_body_without_a_content_type_is_a_form_without_fields() -> None:
    app = web.Application()
    app.router.add_post("/", answer)
    async with TestClient(TestServer(app)) as client, client.post("/") as response:
        assert await response.json() == {"fields": {}}


@pytest.mark.parametrize(
    "body",
    [b"a=%ff", b"a=\xff", b"a=1&a=2", b"&".join(b"f%d=" % n for n in range(60)), "ü=1".encode()],
    ids=["no UTF-8", "no ASCII", "twice", "too many", "raw letters"],
)
async def test_a_broken_form_is_a_bad_request(body: bytes) -> None:
    assert await read(body) == (400, {"problem": "bad-request"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"1",
        b'{"a": "1", "a": "2"}',
        b"[" * 20_000,
        b"\xff\xfe",
        json.dumps({f"f{n}": "" for n in range(60)}).encode(),
    ],
    ids=lambda body: body[:12].decode("latin-1"),
)
async def test_broken_json_is_a_bad_request(body: bytes) -> None:
    assert await read(body, JSON) == (400, {"problem": "bad-request"})


@pytest.mark.parametrize("body", [b'{"a": 1}', b'{"a": 1.5}', b'{"a": ["b"]}', b'{"a": {"b": "c"}}'])
async def test_a_json_field_that_is_no_text_is_bad_input(body: bytes) -> None:
    assert await read(body, JSON) == (422, {"problem": "bad-input"})


@pytest.mark.parametrize("body", [b"a=%00", b"a=x%0d%0aBcc:+x", b"a%07=1", b"a=%c2%85", b"address=a%40b%0a"])
async def test_control_characters_are_bad_input(body: bytes) -> None:
    assert await read(body) == (422, {"problem": "bad-input"})


async def test_an_unpaired_surrogate_in_json_is_bad_input() -> None:
    assert await read(rb'{"a": "\ud800"}', JSON) == (422, {"problem": "bad-input"})


@pytest.mark.row("GW-32")
async def test_direction_marks_in_a_code_are_no_control_characters() -> None:
    status, read_ = await read("code=\u200e123\u00a0456\u200f".encode().replace(b"\xe2", b"%e2"), FORM)
    assert status == 400  # raw bytes above ASCII are no urlencoded form …
    status, read_ = await read(b"code=%E2%80%8E%D9%A1%D9%A2%C2%A0%DB%B3", FORM)
    assert (status, read_) == (200, {"fields": {"code": "\u200e\u0661\u0662\u00a0\u06f3"}})  # … but their escapes are


async def test_a_form_of_one_megabyte_is_too_large() -> None:
    assert await read(b"a=" + b"x" * 1_000_000) == (413, {"problem": "request-too-large"})


async def test_a_chunked_form_that_grows_too_large_is_too_large() -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield b"x" * 8192

    app = web.Application()
    app.router.add_post("/", answer)
    async with TestClient(TestServer(app)) as client, client.post("/", data=chunks(), headers=FORM) as response:
        assert response.status == 413


async def test_a_form_of_exactly_the_limit_is_read() -> None:
    status, _ = await read(b"a=" + b"x" * (MAX_BODY - 2))
    assert status == 200


async def test_a_compressed_body_is_refused() -> None:
    body = gzip.compress(b"a=1")
    assert await read(body, {**FORM, "Content-Encoding": "gzip"}) == (415, {"problem": "bad-request"})


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded; charset=utf-16"]
)
async def test_bodies_of_other_content_types_are_refused(kind: str) -> None:
    assert await read(b"a=1", {"Content-Type": kind}) == (415, {"problem": "bad-request"})


_FORMS = st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4).map(urlencode)
_OBJECTS = st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4).map(json.dumps)
_BODIES = nearly(_FORMS | _OBJECTS, st.text(max_size=3)).map(lambda text: text.encode("utf-8", "surrogatepass"))


@property_test(_BODIES | st.binary(max_size=300), least=0.2)
def test_no_body_raises_an_exception(reached: Reached, body: bytes) -> None:
    found = [parse(body) for parse in (forms._form, forms._json)]
    assert all(isinstance(fields, InvalidForm | list) for fields in found)
    if any(isinstance(fields, list) and fields for fields in found):
        reached()
