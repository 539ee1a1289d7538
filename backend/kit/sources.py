"""Whom an address stands for: one spelling for each, and the network that one party commands.

Limits and the audit trail count sources. A host on IPv6 has a whole /64 to itself and can send each
request from another address of it, and an address of IPv4 has a second spelling in IPv6.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

_MOST_CHARACTERS: Final = 64
_NETWORK_BITS: Final = 64


@lru_cache(maxsize=4096)
def canonical_address(text: str) -> str:
    """The address in its one spelling; what is none is given back, cut to 64 characters.

    An IPv4 address within an IPv6 one (``::ffff:192.0.2.1``, as a socket for both shows it) is the
    IPv4 address. A zone (``%eth0``), brackets and the port that some proxies add are dropped.
    """
    text = text.strip()[:_MOST_CHARACTERS]
    bare = text
    if text.startswith("["):
        bare = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        bare = text.partition(":")[0]
    try:
        found: IPv4Address | IPv6Address = ip_address(bare.partition("%")[0])
    except ValueError:
        return text
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(found)


@lru_cache(maxsize=4096)
def source_of(text: str) -> str:
    """Who is counted for an address: itself on IPv4, its /64 on IPv6."""
    address = canonical_address(text)
    if ":" not in address:
        return address
    try:
        return str(IPv6Network((int(IPv6Address(address)), _NETWORK_BITS), strict=False))
    except ValueError:
        return address


@lru_cache(maxsize=4096)
def lies_in(address: str, networks: tuple[str, ...]) -> bool:
    """Whether a canonical address is of one of the networks (CIDR); what is none is of none."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in ip_network(one) for one in networks)
