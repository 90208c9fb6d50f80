"""Tests of TLS contexts whose files are renewed."""

import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from structlog.testing import capture_logs

from gateway.crypto import tls
from gateway.domain.channel import TlsSettings

Connect = Callable[[ssl.SSLContext], str]


@pytest.fixture
def authority() -> trustme.CA:
    """Returns the authority of server and client."""
    return trustme.CA()


@pytest.fixture
def connect(authority: trustme.CA) -> Connect:
    """Makes a TLS connection in memory; returns the serial number of the client's certificate."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("server.test").configure_cert(server)
    authority.configure_trust(server)
    server.verify_mode = ssl.CERT_OPTIONAL

    def handshake(client: ssl.SSLContext) -> str:
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = client.wrap_bio(down, up, server_hostname="server.test"), server.wrap_bio(up, down, server_side=True)
        waiting = set(ends)
        while waiting:
            for end in ends:
                try:
                    end.do_handshake()
                    waiting.discard(end)
                except ssl.SSLWantReadError:
                    pass
        return str((ends[1].getpeercert() or {}).get("serialNumber", ""))

    return handshake


def write(file: Path, *blobs: trustme.Blob) -> str:
    """Writes a PEM file; it is seen as changed also if it is as old as the one before."""
    before = file.stat().st_mtime_ns if file.exists() else 0
    file.write_bytes(b"".join(blob.bytes() for blob in blobs))
    os.utime(file, ns=(before + 1_000_000, before + 1_000_000))
    return str(file)


def test_a_renewed_authority_is_trusted_without_a_restart(
    tmp_path: Path, authority: trustme.CA, connect: Connect
) -> None:
    settings = TlsSettings(ca_file=write(tmp_path / "ca.pem", trustme.CA().cert_pem))
    context = tls.client_context(settings)
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(context)
    write(tmp_path / "ca.pem", authority.cert_pem)
    tls.renew()
    connect(context)


def test_a_renewed_client_certificate_is_used_once_its_key_fits(
    tmp_path: Path, authority: trustme.CA, connect: Connect
) -> None:
    first, second = authority.issue_cert("gateway.test"), authority.issue_cert("gateway.test")
    settings = TlsSettings(
        ca_file=write(tmp_path / "ca.pem", authority.cert_pem),
        certificate_file=write(tmp_path / "own.pem", *first.cert_chain_pems),
        key_file=write(tmp_path / "own.key", first.private_key_pem),
    )
    context = tls.client_context(settings)
    before = connect(context)
    write(tmp_path / "own.pem", *second.cert_chain_pems)
    with capture_logs() as lines:
        tls.renew()
        assert connect(context) == before
        write(tmp_path / "own.key", second.private_key_pem)
        tls.renew()
    assert connect(context) not in ("", before)
    assert [line["event"] for line in lines] == ["certificate_not_renewed", "certificate_renewed"]


def test_contexts_that_a_library_makes_while_it_is_imported_accept_no_certificate() -> None:
    with tls.no_system_authorities():
        inside = ssl.create_default_context()
    assert (inside.get_ca_certs(), inside.verify_mode) == ([], ssl.CERT_REQUIRED)


def test_a_context_that_trusts_nothing_accepts_no_certificate(authority: trustme.CA, connect: Connect) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(tls.trusts_nothing())


def test_contexts_made_later_have_the_authorities_of_the_system() -> None:
    with tls.no_system_authorities():
        pass
    assert "set_default_verify_paths" not in vars(ssl.SSLContext)
