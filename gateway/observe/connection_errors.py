"""Says why a connection to a dependency failed, in words for operators.

Libraries wrap the cause in errors of their own, often without a text. The reason is the cause's own text, redacted and
of bounded length, with the setting that a TLS error is about.
"""

import os
import socket
import ssl
from collections.abc import Iterator

from gateway.observe.redaction import clean_text

MOST = 300
"""Characters of a dependency's own text."""

_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
_MAY_EXPECT_TLS = ", the server may expect TLS"
_WANTS_CERTIFICATE = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "BAD_CERTIFICATE", "UNKNOWN_CA")


def why_not_connected(error: BaseException, *, tls: str, address: str = "", no_tls: str = "") -> str:
    """The reason in one line, with what to check.

    `tls` is the section with the files for this dependency, as `tls.store`; `address` the setting with its address,
    `no_tls` the advice for a server without TLS.
    """
    check = f"; check {address}" if address else ""
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}; see {tls}.ca_file"
        if isinstance(cause, ssl.SSLError):
            return _tls_reason(cause, tls, no_tls) + check
    for cause in chain:
        if isinstance(cause, OSError) and cause.errno and not isinstance(cause, TimeoutError):
            text = str(cause.strerror) if isinstance(cause, socket.gaierror) else os.strerror(cause.errno)
            return text + check + (_MAY_EXPECT_TLS if check and isinstance(cause, ConnectionResetError) else "")
    if any(isinstance(cause, TimeoutError) for cause in chain):
        return f"no response in time{check}"
    text = own_text(error)
    return text + check + (_MAY_EXPECT_TLS if check and "disconnected" in text else "")


def is_untrusted(error: BaseException) -> bool:
    """Whether the connection failed because the certificate of the server is not trusted."""
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _chain(error))


def own_text(error: BaseException) -> str:
    """The type of an error and its text."""
    text = clean_text(" ".join(str(error)[:MOST].split())).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _tls_reason(error: ssl.SSLError, tls: str, no_tls: str) -> str:
    reason = error.reason or own_text(error)
    if any(word in reason for word in _NOT_TLS):
        return f"no TLS; {no_tls}" if no_tls else "no TLS"
    if any(word in reason for word in _WANTS_CERTIFICATE):
        return f"it does not accept the gateway's certificate ({reason}); see {tls}.certificate_file"
    return f"TLS failed ({reason})"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, each once. Of a group, which has one error for each address, the first counts."""
    cause: BaseException | None = error
    known: list[BaseException] = []
    while cause is not None and cause not in known:
        yield cause
        known.append(cause)
        members = cause.exceptions if isinstance(cause, BaseExceptionGroup) else ()
        cause = cause.__cause__ or cause.__context__ or (members[0] if members else None)
