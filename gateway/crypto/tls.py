"""Makes the TLS contexts of clients from the settings of their dependencies, and renews them with their files.

A renewed file is loaded into the same context. So every connection made afterwards uses it, whatever library owns the
context. An authority that a file no longer has stays trusted until the process ends.
"""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakKeyDictionary

import structlog

from gateway.domain.channel import TlsSettings

LOOK = 30.0
"""Seconds between two looks at the files."""

_Seen = tuple[tuple[int, int], ...]
_contexts: WeakKeyDictionary[ssl.SSLContext, tuple[TlsSettings, _Seen]] = WeakKeyDictionary()
_log = structlog.get_logger(__name__)


def client_context(tls: TlsSettings) -> ssl.SSLContext:
    """A context that trusts `tls.ca_file`, else the system's authorities, and shows the certificate of `tls` if any.

    Raises `OSError` (`ssl.SSLError` is one) when a file cannot be used.
    """
    seen = _seen(tls)
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.certificate_file:
        context.load_cert_chain(tls.certificate_file, tls.key_file)
    _contexts[context] = tls, seen
    return context


def trusts_nothing() -> ssl.SSLContext:
    """A context that accepts no certificate, for a client that makes no TLS connection. It costs nothing to make."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@contextmanager
def no_system_authorities() -> Iterator[None]:
    """Contexts made inside do not load the system's authorities, and so accept no certificate.

    aiohttp makes two when it is imported, which no connection of the gateway uses: each has its own.
    """
    ssl.SSLContext.set_default_verify_paths = lambda _self: None  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del ssl.SSLContext.set_default_verify_paths  # the method of the base class is there again


async def follow_files() -> None:
    """Renews the contexts for as long as the process runs."""
    while True:
        await asyncio.sleep(LOOK)
        renew()


def renew() -> None:
    """Load the files that changed into their contexts. A file that cannot be used is logged, and tried when it changes.

    Certificate and key may change one after the other, so they are loaded only when they fit together.
    """
    for context, (tls, before) in tuple(_contexts.items()):
        if (seen := _seen(tls)) == before:
            continue
        _contexts[context] = tls, seen
        try:
            client_context(tls)
            if tls.ca_file:
                context.load_verify_locations(tls.ca_file)
            if tls.certificate_file:
                context.load_cert_chain(tls.certificate_file, tls.key_file)
        except OSError as error:
            _log.warning("certificate_not_renewed", files=_files(tls), why=str(error))
        else:
            _log.info("certificate_renewed", files=_files(tls))


def _files(tls: TlsSettings) -> list[str]:
    return [name for name in (tls.ca_file, tls.certificate_file, tls.key_file) if name]


def _seen(tls: TlsSettings) -> _Seen:
    """The properties that change with the files; a missing file has none."""
    found = []
    for name in _files(tls):
        try:
            about = Path(name).stat()
        except OSError:
            found.append((0, 0))
        else:
            found.append((about.st_mtime_ns, about.st_ino))
    return tuple(found)
