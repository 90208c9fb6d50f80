"""Tests of dividing a client's bytes into requests."""

import pytest

from gateway.proxy.request_framing import FramingState, RequestFraming

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PUT = b"PUT / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: \t5 \r\n\r\nhello"
CHUNKED = (
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;ext=1\r\na\r\n\r\n00000000000000000000000000000A\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n"
)

LATER_CHUNK = (
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n12\r\n0123456789abcdefgh\r\n0\r\n\r\n"
)


def divided(stream: bytes, step: int, most: int = 1000) -> list[bytes]:
    """Returns the forwarded requests when `step` bytes arrive at a time and each request is answered once complete."""
    inbound, found = RequestFraming(most), [b""]
    for at in range(0, len(stream), step):
        inbound.add(stream[at : at + step])
        while part := inbound.take():
            found[-1] += part
            if inbound.state is FramingState.WHOLE:
                inbound.go_on()
                found.append(b"")
    return found[:-1] if not found[-1] else found


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 64, 10_000])
def test_each_request_is_forwarded_to_its_last_byte_and_no_further(step: int) -> None:
    requests = [GET, PUT, CHUNKED, GET, LATER_CHUNK, CHUNKED, PUT, GET]
    passed = [request.replace(b"X-Trailer: 1\r\n", b"") for request in requests]
    assert divided(b"".join(requests), step) == passed


@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
@pytest.mark.parametrize("trailers", [b"X: a\n\r\n", b"X: a\r\n\n", b"\n", b"X: a\r\r\n\r\r\n"])
def test_trailers_with_odd_line_ends_are_never_the_end_of_a_body(trailers: bytes, step: int) -> None:
    head, _, body = CHUNKED.partition(b"\r\n\r\n")
    request = head + b"\r\n\r\n" + body.partition(b"X-Trailer")[0]
    whole = b"".join(divided(request + trailers + GET, step))
    assert whole.startswith(request)
    assert whole[len(request) :][:1] in {b"\x00", b""}


@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
def test_a_body_that_passes_as_it_arrives_is_that_which_was_held_before(step: int) -> None:
    inbound, found = RequestFraming(1000), b""
    head, _, body = CHUNKED.partition(b"\r\n\r\n")
    inbound.add(head + b"\r\n\r\n")
    assert inbound.take() == head + b"\r\n\r\n"
    stream = body + GET
    for at in range(0, len(stream), step):
        part = inbound.pass_body(stream[at : at + step])
        if part is None:
            inbound.add(stream[at : at + step])
        else:
            found += part
    assert found == body.replace(b"X-Trailer: 1\r\n", b"")
    inbound.go_on()
    assert inbound.take() == GET


def test_no_byte_of_a_head_is_forwarded_before_its_end() -> None:
    inbound = RequestFraming(1000)
    inbound.add(GET[:-1])
    assert inbound.take() == b""
    assert inbound.held == len(GET) - 1


def test_bytes_after_a_request_are_buffered_until_it_is_answered() -> None:
    inbound = RequestFraming(1000)
    inbound.add(GET + PUT)
    assert inbound.take() == GET
    assert inbound.take() == b""
    assert inbound.held == len(PUT)
    inbound.go_on()
    assert inbound.take() + inbound.take() == PUT


@pytest.mark.parametrize("step", [1, 10_000])
def test_empty_lines_before_a_request_are_dropped(step: int) -> None:
    assert divided(b"\r\n\r\n\r\n" + GET + b"\r\n" + GET, step) == [GET, GET]


def test_a_too_long_head_is_reported_with_and_without_an_end() -> None:
    for end in (b"", b"\r\n\r\n"):
        inbound = RequestFraming(100)
        inbound.add(b"GET / HTTP/1.1\r\nX: " + b"x" * 100 + end)
        assert inbound.take() == b""
        assert inbound.too_large


@pytest.mark.parametrize(
    "odd",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"get / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\nHost: a",
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"PUT / HTTP/1.1\r\nContent-Length: five\r\n\r\nhello",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\nhello",
    ],
)
@pytest.mark.parametrize("step", [1, 10_000])
def test_bytes_that_are_not_http_are_passed_to_the_parser_to_be_refused(odd: bytes, step: int) -> None:
    assert b"".join(divided(odd, step)) == odd


def test_after_a_protocol_upgrade_all_bytes_are_forwarded() -> None:
    inbound = RequestFraming(100)
    inbound.add(GET + b"\x81\x00")
    inbound.take()
    inbound.open()
    assert inbound.take() == b"\x81\x00"
    inbound.add(b"GET" * 1000)
    assert inbound.take() == b"GET" * 1000


@pytest.mark.attack("D1")
@pytest.mark.parametrize(
    "odd", [b"GET / HTTP/1.1\r\nHost: a\r\nX\n", b"\xdb / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\n\n"]
)
def test_after_a_request_without_a_body_bytes_that_are_no_whole_head_are_not_taken_for_one(odd: bytes) -> None:
    inbound = RequestFraming(1000)
    inbound.add(GET + odd)
    assert (inbound.take(), inbound.head_alone) == (GET, True)
    inbound.go_on()
    assert (inbound.take(), inbound.head_alone) == (odd, False)


@pytest.mark.parametrize(
    ("data", "alone"), [(GET, True), (GET[:-1], False), (GET + b"x", False), (b"\r\n" + GET, False), (GET * 99, False)]
)
def test_only_a_whole_head_to_its_last_byte_may_be_alone(data: bytes, alone: bool) -> None:
    inbound = RequestFraming(1000)
    assert inbound.may_be_alone(data) is alone
    inbound.add(b"G")
    assert not inbound.may_be_alone(data)
