"""The heads that are like one head but for their target and the values of some lines.

Pure. A client's next head differs from its last one in a few places. Where these are known, the bytes between them are
compared as they are, and only the values are read.
"""

from collections.abc import Sequence

from gateway.web.request_check import MAX_TARGET

_VERSION = b" HTTP/1.1\r\n"


class HeadShape:
    """The heads with `method` and these field lines. Those numbered `varying` may have other values."""

    __slots__ = ("_first", "_last", "_pieces")

    def __init__(self, method: bytes, lines: Sequence[bytes], varying: Sequence[int]) -> None:
        piece, pieces, begin = _VERSION, list[bytes](), 0
        for at in varying:
            name, _, value = lines[at].partition(b":")
            blanks = len(value) - len(value.lstrip(b" \t"))
            pieces.append(b"".join((piece, *(line + b"\r\n" for line in lines[begin:at]), name, b":", value[:blanks])))
            piece, begin = b"\r\n", at + 1
        self._last = b"".join((piece, *(line + b"\r\n" for line in lines[begin:]), b"\r\n"))
        self._first = method + b" "
        self._pieces = tuple((piece, len(piece)) for piece in pieces)

    def values(self, head: bytes) -> list[bytes] | None:
        """The target and the values of a head, none of them judged; None: its shape is another one.

        `head` is one head to its last byte if no value and not the target has a carriage return.
        """
        first, last = self._first, self._last
        if not head.startswith(first) or not head.endswith(last):
            return None
        start = len(first)
        end = head.find(b" ", start, start + MAX_TARGET + 1)
        found = [head[start:end]]
        for piece, size in self._pieces:
            if not head.startswith(piece, end):
                return None
            start = end + size
            end = head.find(b"\r", start)
            found.append(head[start:end])
        return found if end == len(head) - len(last) else None
