"""TLS towards a broker: what the configuration says as a context that verifies."""

from __future__ import annotations

import ssl

from tocsin.config import TlsOptions


def tls_context(options: TlsOptions | None) -> ssl.SSLContext | None:
    """A context that verifies the certificate and the name in it; None for a plain connection.

    Raises:
        OSError: a file is missing or no PEM (`ssl.SSLError`).
    """
    if options is None:
        return None
    context = ssl.create_default_context(cafile=options.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.cert is not None:
        context.load_cert_chain(options.cert, options.key)
    return context
