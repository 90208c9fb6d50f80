"""Follows the frames of a WebSocket stream (RFC 6455 5.2).

Pure. It reads bytes as they pass and never holds or changes them. It knows whether a frame has just ended, so that one
of our own may follow, and whether a close frame has begun.
"""

CLOSE = 0x8
GOING_AWAY = b"\x03\xe9"
"""Status 1001: the server is going down (RFC 6455 7.4.1)."""
SESSION_ENDED = b"\x11\x31"
"""Status 4401, the gateway's own: the session ended; by it an app tells this end from others."""


class WebSocketFrames:
    """One direction of one WebSocket."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0
        self.closing = False
        """Whether a close frame has begun."""

    @property
    def between(self) -> bool:
        """Whether no part of a frame is missing."""
        return not self._left and not self._head

    def feed(self, data: bytes) -> None:
        """Follow bytes that have passed."""
        at, end = 0, len(data)
        while at < end:
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                at += step
                continue
            wanted = _head_length(self._head) - len(self._head)
            self._head += data[at : at + wanted]
            at += wanted
            if len(self._head) == _head_length(self._head):
                self._begin()

    def _begin(self) -> None:
        head = self._head
        self.closing = self.closing or head[0] & 0x0F == CLOSE
        short = head[1] & 0x7F
        size = {126: 2, 127: 8}.get(short, 0)
        self._left = int.from_bytes(head[2 : 2 + size], "big") if size else short
        self._head = bytearray()


def close_frame(payload: bytes, mask: bytes | None = None) -> bytes:
    """A close frame with `payload` (at most 125 bytes); one for a server has a `mask` of 4 bytes."""
    if mask is None:
        return bytes((0x80 | CLOSE, len(payload))) + payload
    masked = bytes(byte ^ mask[number % 4] for number, byte in enumerate(payload))
    return bytes((0x80 | CLOSE, 0x80 | len(payload))) + mask + masked


def _head_length(head: bytearray) -> int:
    """The length of the head that begins with these bytes: 2 until the second byte is known."""
    if len(head) < 2:
        return 2
    extra = {126: 2, 127: 8}.get(head[1] & 0x7F, 0)
    return 2 + extra + (4 if head[1] & 0x80 else 0)
