"""Independent readers of requests: two of the framing of a connection's bytes, two of a path.

They share no code with the gateway. A request may arrive at an app only if both readers of its kind see the same.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import h11

_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) +([\x21-\x7e]+) +HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\x21-\xff](?:[\x20-\xff\t]*[\x21-\xff])?)?)[ \t]*")
_BLANKS = re.compile(rb"\A(\S+) +(\S+) +(\S+\r\n)")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\xff]*)?")
_CODING = b"transfer-encoding"


@dataclass(frozen=True)
class Read:
    """One request. `whole`: its body is there to its end."""

    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    whole: bool = True

    def values(self, name: bytes) -> list[bytes]:
        """Returns the values of each field of that name, which is in lower case."""
        return [value for field, value in self.fields if field.lower() == name]


def by_grammar(data: bytes) -> list[Read]:
    """Reads requests by the grammar of RFC 9112, up to the first bytes that break it."""
    found: list[Read] = []
    while data := data.lstrip(b"\r\n"):
        head, end, rest = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        line, fields = _LINE.fullmatch(lines[0]), [_FIELD.fullmatch(one) for one in lines[1:]]
        if not end or line is None or any(one is None or b"\0" in one[0] or b"\n" in one[0] for one in fields):
            break
        read = Read(line[1], line[2], tuple((one[1], one[2]) for one in fields if one))
        framed = _framed(read, rest)
        if framed is None:
            break
        found.append(framed[0])
        if not framed[0].whole:
            break
        data = framed[1]
    return found


def _framed(read: Read, rest: bytes) -> tuple[Read, bytes] | None:
    """Returns the request with its body, and the bytes after it."""
    lengths, codings = read.values(b"content-length"), read.values(_CODING)
    if len(lengths) + len(codings) > 1 or not all(re.fullmatch(rb"[0-9]{1,18}", one) for one in lengths):
        return None
    if codings:
        return _chunked(read, rest) if codings[0].lower() == b"chunked" else None
    length = int(lengths[0]) if lengths else 0
    return Read(read.method, read.target, read.fields, rest[:length], len(rest) >= length), rest[length:]


def _chunked(read: Read, rest: bytes) -> tuple[Read, bytes] | None:
    body, whole = b"", False
    while rest:
        line, end, rest = rest.partition(b"\r\n")
        size = _SIZE.fullmatch(line) if end else None
        if size is None:
            rest = b""
        elif length := int(size[1], 16):
            body += rest[:length]
            if rest[length : length + 2] != b"\r\n":
                rest = b""
            rest = rest[length + 2 :]
        else:
            while rest and not whole:
                line, end, rest = rest.partition(b"\r\n")
                whole = bool(end) and not line
            break
    return Read(read.method, read.target, read.fields, body, whole), rest


def by_h11(data: bytes) -> list[Read]:
    """Reads requests by h11, which gets one blank between the parts of a request line, and no empty line before it."""
    found: list[Read] = []
    while data := data.lstrip(b"\r\n"):
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**17)
        connection.receive_data(_BLANKS.sub(rb"\1 \2 \3", data, count=1))
        read, body = None, b""
        with suppress(h11.RemoteProtocolError):
            while not isinstance(event := connection.next_event(), h11.EndOfMessage | type):
                if isinstance(event, h11.Request):
                    read = event
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
            if read is not None and isinstance(event, h11.EndOfMessage):
                found.append(Read(read.method, read.target, body=body))
                data, _ = connection.trailing_data
                continue
        if read is not None:
            found.append(Read(read.method, read.target, body=body, whole=False))
        break
    return found


def as_browser(path: bytes) -> bytes:
    """Returns the path as the URL standard of browsers resolves it, decoded."""
    path = path.partition(b"#")[0].replace(b"\\", b"/").replace(b"\t", b"")
    kept: list[bytes] = []
    parts = path.split(b"/")[1:]
    for number, part in enumerate(parts):
        plain = re.sub(rb"%2e", b".", part, flags=re.IGNORECASE)
        if plain == b"..":
            kept = kept[:-1]
        if plain in (b".", b".."):
            kept += [b""] if number == len(parts) - 1 else []
        else:
            kept.append(part)
    return b"/" + b"/".join(map(unquote_to_bytes, kept))


def as_server(path: bytes) -> bytes:
    """Returns the path as a lenient server resolves it: all decoded at first, parameters and blanks of dots dropped."""
    before = None
    while path != before:
        before, path = path, unquote_to_bytes(path)
    path = path.partition(b"\0")[0].replace(b"\\", b"/")
    kept: list[bytes] = []
    for part in re.split(rb"/+", path)[1:]:
        dots = part.partition(b";")[0].strip()
        if dots == b"..":
            kept = kept[:-1]
        elif dots != b".":
            kept.append(part)
    return b"/" + b"/".join(kept)
