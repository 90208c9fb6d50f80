"""Tests of finding the end of a frame in a stream of WebSocket frames."""

import pytest
from hypothesis import strategies as st

from gateway.proxy.websocket_frames import GOING_AWAY, WebSocketFrames, close_frame
from tests.fixtures.properties import Reached, property_test


def frame(payload: bytes, *, opcode: int = 2, mask: bytes = b"") -> bytes:
    """Returns a whole frame."""
    size = len(payload)
    bit = 0x80 if mask else 0
    if size < 126:
        head = bytes((0x80 | opcode, bit | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, bit | 127)) + size.to_bytes(8, "big")
    return head + mask + payload


@pytest.mark.parametrize("mask", [b"", b"mask"])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_a_frame_ends_exactly_at_its_last_byte(size: int, mask: bytes) -> None:
    whole = frame(b"x" * size, mask=mask)
    frames = WebSocketFrames()
    frames.feed(whole[:-1])
    assert not frames.between
    frames.feed(whole[-1:])
    assert frames.between


@property_test(
    sizes=st.lists(st.integers(0, 300), max_size=5),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    least=0.5,
)
def test_frames_are_recognised_however_the_stream_is_divided(
    reached: Reached, sizes: list[int], cuts: list[int]
) -> None:
    stream = b"".join(frame(b"y" * size) for size in sizes)
    frames, at, turn = WebSocketFrames(), 0, 0
    while at < len(stream):
        step = cuts[turn % len(cuts)]
        frames.feed(stream[at : at + step])
        at, turn = at + step, turn + 1
    if turn > len(sizes):
        reached()  # some frame arrived in parts
    assert frames.between
    assert not frames.closing


def test_a_close_frame_is_recognised_and_a_text_with_the_same_bytes_is_not() -> None:
    text, close = WebSocketFrames(), WebSocketFrames()
    text.feed(frame(b"\x88\x02\x03\xe9"))
    close.feed(close_frame(GOING_AWAY))
    assert (text.closing, close.closing, close.between) == (False, True, True)


def test_a_close_frame_to_a_server_is_masked() -> None:
    assert close_frame(GOING_AWAY, b"\x01\x02\x03\x04") == b"\x88\x82\x01\x02\x03\x04\x02\xeb"


@pytest.mark.parametrize("size", [2, 5, 125])
def test_a_close_frame_for_a_server_is_masked_with_its_four_bytes_in_turn(size: int) -> None:
    payload, mask = bytes(range(size)), b"\x01\x20\x03\x40"
    sent = close_frame(payload, mask)
    assert sent[:6] == bytes((0x88, 0x80 | size)) + mask
    key = int.from_bytes((mask * 32)[:size], "big")
    assert (int.from_bytes(sent[6:], "big") ^ key).to_bytes(size, "big") == payload
