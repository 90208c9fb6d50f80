"""Calls of HTTP services: every ending is a value, and none is taken for another."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator

import pytest
import trustme
from structlog.testing import capture_logs

from gateway.delivery.http_calls import MOST, Answer, HttpCall, HttpCalls, NoAnswer
from gateway.domain.channel import TlsSettings
from tests.fixtures.http_service import http_server, never, says
from tests.fixtures.ports import free_port
from tests.fixtures.upstream import RawUpstream


@pytest.fixture
async def calls() -> AsyncIterator[HttpCalls]:
    """Yields the calls of one process."""
    made = HttpCalls()
    yield made
    await made.close()


async def body(calls: HttpCalls, raw: bytes) -> Answer | NoAnswer:
    """Returns the result of a call that is answered with `raw`."""
    async with http_server(lambda _: says(raw)) as server:
        return await calls.send(HttpCall("GET", server.url, 5.0))


async def raw_answer(calls: HttpCalls, answer: bytes | None, timeout: float = 5.0) -> Answer | NoAnswer:
    """Returns the result of a call that a server answers with these bytes, head included."""
    server = RawUpstream(free_port(), lambda _: answer)
    await server.start()
    try:
        return await calls.send(HttpCall("POST", server.url, timeout, body=b"code=1"))
    finally:
        await server.stop()


async def test_a_call_carries_method_target_headers_and_body_as_given(calls: HttpCalls) -> None:
    async with http_server(lambda _: says({"id": "1"}, 201)) as server:
        call = HttpCall("PUT", f"{server.url}/a%2Fb?to=%2B49", 5.0, [("X-Own", "1"), ("X-Own", "2")], b"\x00body")
        answer = await calls.send(call)
    [request] = server.requests
    assert isinstance(answer, Answer)
    assert (answer.status, answer.succeeded, answer.json_object()) == (201, True, {"id": "1"})
    assert (request.method, request.target, request.body) == ("PUT", "/a%2Fb?to=%2B49", b"\x00body")
    assert request.headers.getall("X-Own") == ["1", "2"]  # type: ignore[attr-defined]


@pytest.mark.attack("F8")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(calls: HttpCalls, status: int) -> None:
    async with http_server(lambda _: says(b"", status, {"Location": "/elsewhere"})) as server:
        answer = await calls.send(HttpCall("GET", server.url, 5.0))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.succeeded, len(server.requests)) == (status, False, 1)


async def test_a_response_that_is_too_long_is_no_answer(calls: HttpCalls) -> None:
    assert isinstance(await body(calls, b"x" * MOST), Answer)
    assert await body(calls, b"x" * (MOST + 1)) == NoAnswer(f"the response is longer than {MOST} bytes", unknown=True)


async def test_a_compressed_response_is_no_answer(calls: HttpCalls) -> None:
    small = gzip.compress(b"{}")
    async with http_server(lambda _: says(small, headers={"Content-Encoding": "gzip"})) as server:
        answer = await calls.send(HttpCall("GET", server.url, 5.0))
    assert isinstance(answer, NoAnswer)


@pytest.mark.parametrize(
    "answer",
    [None, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", b"no http at all\r\n\r\n", b"HTTP/1.1 200"],
    ids=["nothing", "cut", "no http", "half a head"],
)
async def test_a_server_that_got_the_request_may_have_handled_it(calls: HttpCalls, answer: bytes | None) -> None:
    found = await raw_answer(calls, answer, 1.0)
    assert isinstance(found, NoAnswer)
    assert found.unknown


async def test_a_server_that_is_not_there_got_nothing(calls: HttpCalls) -> None:
    found = await calls.send(HttpCall("GET", f"http://127.0.0.1:{free_port()}", 5.0))
    assert found == NoAnswer("Connection refused")


async def test_a_call_ends_within_its_time(calls: HttpCalls) -> None:
    async with http_server(lambda _: never()) as server:
        found = await calls.send(HttpCall("GET", server.url, 0.2))
    assert found == NoAnswer("no response within 0.2 s", unknown=True)


async def test_a_certificate_that_is_not_trusted_is_named_with_its_setting(calls: HttpCalls) -> None:
    own = trustme.CA().issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.configure_cert(context)
    port = free_port()
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port, ssl=context)
    async with server:
        found = await calls.send(HttpCall("GET", f"https://127.0.0.1:{port}", 5.0, tls_key="channels.0.sms_http.tls"))
    assert isinstance(found, NoAnswer)
    assert not found.unknown
    assert "channels.0.sms_http.tls.ca_file" in found.reason


async def test_a_certificate_file_that_is_gone_is_named(calls: HttpCalls) -> None:
    found = await calls.send(HttpCall("GET", "https://127.0.0.1:1", 5.0, tls=TlsSettings(ca_file="/nowhere.pem")))
    assert isinstance(found, NoAnswer)
    assert not found.unknown


async def test_no_cookie_of_a_service_is_kept(calls: HttpCalls) -> None:
    async with http_server(lambda _: says(headers={"Set-Cookie": "a=1"})) as server:
        for _ in range(2):
            await calls.send(HttpCall("GET", server.url, 5.0))
    assert ["Cookie" in request.headers for request in server.requests] == [False, False]


async def test_a_proxy_of_the_environment_is_not_asked(calls: HttpCalls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    assert isinstance(await body(calls, b""), Answer)


async def test_the_log_names_the_server_and_no_path_query_or_body(calls: HttpCalls) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with capture_logs() as lines:
        await calls.send(HttpCall("POST", f"{url}/secret?to=49151", 5.0, [("Authorization", "secret")], b"secret"))
    assert [line["server"] for line in lines] == [url]
    assert "secret" not in str(lines)


@pytest.mark.attack("F8")
@pytest.mark.parametrize(
    "raw",
    [b"", b"null", b"[]", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":1} x', b"\xff", b'{"a":' * 20_000, b'"a"'],
    ids=range(9),
)
async def test_only_one_plain_json_object_is_read(calls: HttpCalls, raw: bytes) -> None:
    answer = await body(calls, raw[:MOST])
    assert isinstance(answer, Answer)
    assert answer.json_object() is None


async def test_many_calls_at_once_are_all_answered(calls: HttpCalls) -> None:
    async with http_server(lambda _: says(b"ok")) as server:
        answers = await asyncio.gather(*(calls.send(HttpCall("GET", server.url, 20.0)) for _ in range(200)))
    assert {type(answer) for answer in answers} == {Answer}
