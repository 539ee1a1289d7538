"""What all spellings of an e-mail address share."""

import contextlib
import unicodedata
from typing import Final

import idna

_MAX_DOMAIN: Final = 253


def email_identity(email: str) -> str:
    """The key under which all spellings of an e-mail address are one log-in.

    Case and compatibility forms are one (NFKC), and a domain is one whether it is written in its
    own script or in Punycode (UTS 46). Nothing else is: what follows a plus, and dots, are the
    mail server's business, and two mailboxes must never become one person. Text that is no address
    has a key too, which nobody has.
    """
    if email.isascii():
        # As below, a hundred times faster: of letters of ASCII there is nothing to compose or map.
        return email.strip().lower()
    local, at, domain = _folded(email.strip()).rpartition("@")
    if domain and len(domain) <= _MAX_DOMAIN:
        # What is none stays as it is: a host's own name, or no address at all.
        with contextlib.suppress(idna.IDNAError):
            domain = idna.encode(domain, uts46=True).decode()
    return f"{local}{at}{domain}"


def _folded(text: str) -> str:
    """In small letters, and composed until nothing changes: the one may undo the other.

    Letters are lowered and not folded, as user names are (RFC 8265): folding makes one of two
    domains, and two mailboxes, of which one is written with a sharp s.
    """
    once = unicodedata.normalize("NFKC", text).lower()
    return unicodedata.normalize("NFKC", once).lower()
