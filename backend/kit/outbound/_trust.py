"""Whom TLS believes: the system's certificate authorities."""

import ssl
from functools import lru_cache


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """Load the system's trust once; it takes tens of milliseconds."""
    return ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
