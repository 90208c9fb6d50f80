"""Whole answers to bytes that never become a request; each one ends its connection."""

_NEVER_ASKED = (
    b"Content-Type: text/plain",
    b"Cache-Control: no-store",
    b"X-Content-Type-Options: nosniff",
    b"Connection: close",
)


def _in_words(status: bytes, text: bytes, *fields: bytes) -> bytes:
    """A whole answer that ends its connection."""
    lines = [b"HTTP/1.1 " + status, *fields, *_NEVER_ASKED, b"Content-Length: %d" % len(text), b"", text]
    return b"\r\n".join(lines)


TOO_SLOW = _in_words(b"408 Request Timeout", b"")
TOO_MANY = _in_words(b"429 Too Many Requests", b"Too many connections from this address.\n", b"Retry-After: 5")
NOT_PARSED = _in_words(b"400 Bad Request", b"This is not a request that can be understood.\n")
TOO_LARGE = _in_words(
    b"431 Request Header Fields Too Large",
    b"The address or the header fields of the request are too large. Deleting the cookies of this site may help.\n",
)
