"""Divides the bytes of a client into requests, so that only one is under way and only its bytes are passed on.

Pure. aiohttp parses all that it gets, 32 requests ahead and fields of any length, and keeps two or three copies of a
head. So a head stays here unchanged until it is whole, and the bytes after a request until that one is answered. The
module judges nothing: it passes odd bytes on as they are, and aiohttp rejects them. Only the trailers of a chunked body
are dropped (RFC 9110 6.5.1): aiohttp 3.14 takes the last one for a field of the next request on the connection.
"""

from enum import Enum, auto

from gateway.proxy.head_lines import FIELD_NAME, FIELD_VALUE

_END = b"\r\n\r\n"
_LENGTH = b"\ncontent-length:"
_CODING = b"\ntransfer-encoding:"
_MAX_LINE = 24
"""Characters of a line between chunks that are kept: the size is first, without its leading zeros."""
_MAX_DIGITS = 20
_MAX_TRAILER = 8_192
_NEVER_PARSED = b"\x00"
"""Passed in place of trailers that do not parse."""


class FramingState(Enum):
    """What the next bytes of a connection belong to."""

    HEAD = auto()
    BODY = auto()
    CHUNKS = auto()
    WHOLE = auto()
    """A request was passed on to its last byte; the bytes after it wait for `go_on`."""
    THROUGH = auto()
    """All bytes are passed on as they arrive."""


IN_BODY = (FramingState.BODY, FramingState.CHUNKS)
_BETWEEN = (FramingState.HEAD, FramingState.WHOLE)
"""The states in which the next bytes begin a request, while nothing is held."""


class RequestFraming:
    """The bytes of one connection. `add` those that arrive, `take` those to pass on, `go_on` after each answer."""

    def __init__(self, most: int) -> None:
        """`most`: bytes of one head."""
        self._most = most
        self._held = bytearray()
        self._searched = 0
        self.state = FramingState.HEAD
        self.head_alone = False
        """Whether the head that was taken last is whole and has no body."""
        self.length: int | None = None
        """Bytes of the body after the last head; None: it is chunked, or there is none."""
        self._left = 0
        self._chunks = _Chunks()

    @property
    def held(self) -> int:
        """The number of bytes that wait to be passed on."""
        return len(self._held)

    @property
    def too_large(self) -> bool:
        """Whether a head is longer than it may be."""
        return self.state is FramingState.HEAD and len(self._held) > self._most

    def add(self, data: bytes) -> None:
        """Add bytes that have arrived."""
        first = not self._held
        self._held += data
        if first and self.state is FramingState.HEAD:
            self._begin()

    def take(self) -> bytes:
        """Return the bytes that may be passed on now, b"" when there are none: a head, or a part of a body."""
        held = self._held
        if self.state is FramingState.HEAD:
            end = held.find(_END, max(0, self._searched - 3))
            if end < 0 and self._has_lone_line_feed():
                self.state = FramingState.THROUGH
                end = len(held)
            elif end < 0 or end + len(_END) > self._most:
                self._searched = len(held)
                return b""
            else:
                end += len(_END)
                self._frame(bytes(held[:end]).lower())
        else:
            end, part = self._body_in(bytes(held))
            del held[:end]
            return part
        part = bytes(held[:end])
        del held[:end]
        self._searched = 0
        return part

    def pass_body(self, data: bytes) -> bytes | None:
        """Return what belongs to the body under way of bytes that were not added; the rest is held.

        None when bytes are held already, or no body is under way: then `add` takes them.
        """
        if self._held or self.state not in IN_BODY:
            return None
        end, part = self._body_in(data)
        self._held += data[end:]
        return part

    def may_be_alone(self, data: bytes) -> bool:
        """Whether `data`, which has arrived and was not added, could be the next head to its last byte.

        It may still be more than one head: an empty line in it is for its reader to find.
        """
        return (
            data.endswith(_END)
            and self.state in _BETWEEN
            and not self._held
            and len(data) <= self._most
            and b"A" <= data[:1] <= b"Z"
        )

    def passed_alone(self) -> None:
        """Such a head, which is one and has no body, was passed on."""
        self.state = FramingState.WHOLE

    def go_on(self) -> None:
        """Let the next request pass, because the one before it is answered."""
        if self.state is FramingState.WHOLE:
            self.state, self.head_alone = FramingState.HEAD, False
            self._begin()

    def open(self) -> None:
        """Pass all bytes on, because another protocol follows."""
        self.state = FramingState.THROUGH

    def _begin(self) -> None:
        """A head begins. Empty lines before it are ignored (RFC 9112 2.2); aiohttp rejects bytes that are not HTTP."""
        held = self._held
        if held.startswith((b"\r", b"\n")):
            del held[: len(held) - len(held.lstrip(b"\r\n"))]
        if held and not b"A" <= held[:1] <= b"Z":
            self.state = FramingState.THROUGH

    def _has_lone_line_feed(self) -> bool:
        """Whether a line that was not searched yet ends without a carriage return; aiohttp rejects it."""
        new = self._held[max(0, self._searched - 1) :]
        known = self._searched > 0 and new[:1] == b"\n"
        return new.count(b"\n") - new.count(b"\r\n") - known > 0

    def _frame(self, head: bytes) -> None:
        """Find the framing of the body after `head`, which is in lower case (RFC 9112 6.3)."""
        length, coding = head.find(_LENGTH), _CODING in head
        self.head_alone = length < 0 and not coding
        self.length = None
        if self.head_alone:
            self.state = FramingState.WHOLE
            return
        if coding:
            self._chunks, self.state = _Chunks(), FramingState.CHUNKS
            return
        digits = head[length + len(_LENGTH) :].partition(b"\r\n")[0].strip(b" \t")
        if digits.isdigit() and len(digits) <= _MAX_DIGITS:
            self.length = self._left = int(digits)
            self.state = FramingState.BODY if self._left else FramingState.WHOLE
        else:
            self.state = FramingState.THROUGH

    def _body_in(self, data: bytes) -> tuple[int, bytes]:
        """Count the first bytes of `data` that belong to this request, and set the state after them.

        The second value: those of them to pass on.
        """
        if self.state is FramingState.THROUGH:
            return len(data), data
        if self.state is FramingState.BODY:
            end = min(len(data), self._left)
            part = data[:end]
            self._left -= end
            is_whole = not self._left
        elif self.state is FramingState.CHUNKS:
            end, part = self._chunks.follow(data)
            is_whole = self._chunks.done
        else:
            return 0, b""
        if is_whole:
            self.state = FramingState.WHOLE
        return end, part


class _Chunks:
    """Follows a chunked body (RFC 9112 7.1) to its end; one that does not parse has none."""

    def __init__(self) -> None:
        self.done = False
        self._line = b""
        self._left = 0
        self._last = False
        """Whether the last chunk has begun: trailers follow."""
        self._odd = False

    def follow(self, data: bytes) -> tuple[int, bytes]:
        """Count the first bytes of `data` that belong to the body, and return those without trailers."""
        at, end, was_odd = 0, len(data), self._odd
        if was_odd:
            return end, b"" if self._last else data
        while at < end and not (self._last or self._odd):
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                at += step
                continue
            stop = data.find(b"\n", at)
            until = end if stop < 0 else stop
            self._line = (self._line + data[at:until]).lstrip(b"0")[:_MAX_LINE]
            at = min(until + 1, end)
            if stop >= 0:
                self._end_of_line()
        if not self._last:
            return end, data
        of_trailers, passed = self._follow_trailers(data[at:])
        return at + of_trailers, data[:at] + passed

    def _end_of_line(self) -> None:
        line, self._line = self._line.rstrip(b"\r"), b""
        try:
            size = int(line.partition(b";")[0] or b"0", 16)
        except ValueError:
            size = -1
        self._odd = size < 0
        self._last = not size
        self._left = size + 2 if size > 0 else 0

    def _follow_trailers(self, data: bytes) -> tuple[int, bytes]:
        held, whole, at = len(self._line), self._line + data, 0
        while (stop := whole.find(b"\n", at)) >= 0:
            line, at = whole[at : stop + 1], stop + 1
            if line == b"\r\n":
                self.done = True
                return at - held, line
            name, colon, value = line[:-2].partition(b":")
            if not (colon and line.endswith(b"\r\n") and FIELD_NAME.fullmatch(name) and FIELD_VALUE.fullmatch(value)):
                self._odd = True
                break
        self._line = whole[at:]
        if self._odd or len(self._line) > _MAX_TRAILER:
            self._odd = True
            return len(data), _NEVER_PARSED
        return len(data), b""
