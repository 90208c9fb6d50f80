"""Makes the TLS context of a client from the settings of its dependency."""

import ssl

from gateway.domain.channel import TlsSettings


def client_context(tls: TlsSettings) -> ssl.SSLContext:
    """A context that trusts `tls.ca_file`, else the system's authorities, and shows the certificate of `tls` if any.

    Raises `OSError` (`ssl.SSLError` is one) when a file cannot be used.
    """
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.certificate_file:
        context.load_cert_chain(tls.certificate_file, tls.key_file)
    return context
