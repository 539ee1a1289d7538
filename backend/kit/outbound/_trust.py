"""Whom TLS believes: the system's certificate authorities."""

import ssl
from functools import lru_cache


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """Load the system's trust once; it takes tens of milliseconds."""
    return ssl.create_default_context(ssl.Purpose.SERVER_AUTH)


@lru_cache(maxsize=64)
def trusting(pem: str) -> ssl.SSLContext:
    """Trust this authority alone.

    Raises:
        ValueError: It is no certificate in PEM.
    """
    try:
        return ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=pem)
    except ssl.SSLError as error:
        raise ValueError("this is no certificate in PEM") from error
