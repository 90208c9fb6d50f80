"""Follows the frames of a WebSocket stream (RFC 6455 5.2).

Pure. It reads bytes as they pass and never holds or changes them. It knows whether a frame has just ended, so that one
of our own may follow, and whether a close frame has begun.
"""

CLOSE = 0x8
GOING_AWAY = b"\x03\xe9"
"""Status 1001: the server is going down (RFC 6455 7.4.1)."""
SESSION_ENDED = b"\x11\x31"
"""Status 4401, the gateway's own: the session ended; by it an app tells this end from others."""
APP_DENIED = b"\x11\x33"
"""Status 4403, the gateway's own: the user has lost the role or group that the app asks for."""


class WebSocketFrames:
    """One direction of one WebSocket."""

    __slots__ = ("_head", "_left", "between", "closing")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self.between = True
        """Whether no part of a frame is missing."""
        self.closing = False
        """Whether a close frame has begun."""

    def feed(self, data: bytes) -> None:
        """Follow bytes that have passed."""
        if self.between and len(data) > 1:  # most often they are one short frame
            short = data[1]
            if (short < 126 and len(data) == short + 2) or (127 < short < 254 and len(data) == short - 122):
                if data[0] & 0x0F == CLOSE:
                    self.closing = True
                return
        if self._head:
            data, self._head = self._head + data, b""
        at, end = self._left, len(data)
        while at + 1 < end:
            second = data[at + 1]
            size, head = second & 0x7F, 6 if second & 0x80 else 2
            if size > 125:
                wide = 2 if size == 126 else 8
                if at + 2 + wide > end:
                    break
                size, head = int.from_bytes(data[at + 2 : at + 2 + wide], "big"), head + wide
            if data[at] & 0x0F == CLOSE:
                self.closing = True
            at += head + size
        if at < end:
            self._left, self._head = 0, data[at:]
        else:
            self._left = at - end
        self.between = at == end


def close_frame(payload: bytes, mask: bytes | None = None) -> bytes:
    """A close frame with `payload` (at most 125 bytes); one for a server has a `mask` of 4 bytes."""
    if mask is None:
        return bytes((0x80 | CLOSE, len(payload))) + payload
    masked = bytes(byte ^ mask[number % 4] for number, byte in enumerate(payload))
    return bytes((0x80 | CLOSE, 0x80 | len(payload))) + mask + masked
