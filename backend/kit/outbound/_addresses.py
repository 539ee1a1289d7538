"""Which addresses are the Internet's, and which text is an address at all."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

# The last four octets of these are an IPv4 address that a translator connects to: RFC 6052, and
# the form that RFC 4291 deprecates. RFC 8215 is for translators within one's own network.
_TRANSLATED: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
_LOCAL_TRANSLATION: Final = ipaddress.IPv6Network("64:ff9b:1::/48")


def is_public(address: str) -> bool:
    """Whether an IP address lies in the public Internet, also behind a translation of IPv4."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo or (None, None))[1]
        if inner is None and any(parsed in network for network in _TRANSLATED):
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if parsed.is_site_local or parsed in _LOCAL_TRANSLATION:
            return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def is_literal(host: str) -> bool:
    """Whether ``host`` is an IP address in its usual form."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def looks_numeric(host: str) -> bool:
    """Whether older resolvers would take ``host`` for an IPv4 address: ``127.1``, ``0x7f000001``.

    The last label decides, as in the URL standard: no top-level domain is a number.
    """
    last = host.rstrip(".").rpartition(".")[2]
    if last.isdigit():
        return True
    try:
        int(last, 16)
    except ValueError:
        return False
    return last[:2].lower() == "0x"


def is_web_address(text: str, *, plain: bool, scheme: str = "https") -> bool:
    """Whether text is an address that something may be sent to, by TLS and without credentials.

    Args:
        text: As somebody wrote it.
        plain: Whether one of ``http`` is, too.
        scheme: Of those that are.
    """
    # Blanks and marks that turn the writing round: it reads as another address than is asked, and
    # what reads it may leave them out.
    if " " in text or not text.isprintable():
        return False
    try:
        parts = urlsplit(text)
        fits = parts.scheme == scheme or (plain and parts.scheme == "http")
        return (
            fits
            and bool(parts.hostname)
            and not parts.username
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        return False
