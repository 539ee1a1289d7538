"""Parses and validates mailboxes, so that nothing else meets a raw one.

Every address that leaves this module has an ASCII domain (international ones become Punycode), fits
the limits of RFC 5321 section 4.5.3.1 and contains no character that could end an SMTP command or a
header line. A local part may be beyond ASCII (RFC 6531), in NFC: whether the way to its mailbox
takes that, the mail server says.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from email_validator import EmailNotValidError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES

from backend.kit.mime.errors import InvalidAddressError

MAX_ADDRESS_OCTETS: Final = 254
MAX_LOCAL_OCTETS: Final = 64
MAX_DISPLAY_NAME_CHARACTERS: Final = 200
# Bounds what the cache keeps and what the patterns below scan.
_MAX_INPUT_CHARACTERS: Final = 1_000

# Private and test networks deliver to these names, so a self-hosted relay must as well. The
# validating library refuses them as public special-use names; "test" it lets pass on request.
_PRIVATE_SUFFIXES: Final = frozenset({"localhost", "local", "invalid"})
_REFUSED_SUFFIXES: Final = frozenset({"arpa", "onion"})

# What nearly all addresses look like, in a form where the library's answer is known without asking
# it (47 us a call against 1 us here): dot-atom, plain LDH labels, no "--" and so no Punycode.
_PLAIN_ADDRESS: Final = re.compile(
    r"([A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*)"
    r"@((?:[A-Za-z0-9](?:-?[A-Za-z0-9]){0,62}\.)*([A-Za-z](?:-?[A-Za-z0-9]){0,62}))",
    re.ASCII,
)
_PLAIN_LOCAL: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII
)
_ANGLE: Final = re.compile(r'(?:"((?:[^"\\]|\\.)*)"\s*|([^"<>]*))<([^<>\s]+)>')
_QUOTED_PAIR: Final = re.compile(r"\\(.)")
_MAX_LABEL: Final = 63
# Joiners are format characters too, but emoji and several scripts cannot be written without them.
_JOINERS: Final = "\u200c\u200d"


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A validated mailbox: an NFC display name, perhaps empty, and an address."""

    display_name: str
    address: str

    def __str__(self) -> str:
        """Return the form a person reads and ``parse_address`` takes back."""
        if not self.display_name:
            return self.address
        name = self.display_name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{name}" <{self.address}>'

    @property
    def domain(self) -> str:
        """The lower-case ASCII domain."""
        return self.address.rpartition("@")[2]

    @property
    def identity(self) -> str:
        """The key under which two spellings count as one person.

        RFC 5321 lets a host tell ``Ada@`` from ``ada@`` and in the same breath discourages it;
        hosts that do are practically extinct, while double mail from mixed spellings is common.
        """
        return self.address.lower()


def parse_address(text: str) -> Mailbox:
    """Parse ``ada@example.test``, ``Ada <ada@example.test>`` or ``"Lovelace, Ada" <...>``.

    One string is one mailbox: an unquoted comma or semicolon in the name is refused, because it
    is far more often a second address than a part of a name.

    Raises:
        InvalidAddressError: The text is no single, safe, deliverable mailbox.
    """
    if len(text) > _MAX_INPUT_CHARACTERS:
        raise InvalidAddressError(
            f"An address may have at most {_MAX_INPUT_CHARACTERS} characters."
        )
    return _parse(text)


def parse_addresses(texts: Iterable[str]) -> list[Mailbox]:
    """Parse each text with ``parse_address``, keeping order and duplicates.

    Raises:
        InvalidAddressError: Names the first offender by its zero-based ``index``.
    """
    mailboxes: list[Mailbox] = []
    for index, text in enumerate(texts):
        try:
            mailboxes.append(parse_address(text))
        except InvalidAddressError as error:
            raise InvalidAddressError(error.detail, index=index).at(index) from None
    return mailboxes


# A batch of 500 names the same people over and over; 8192 entries stay below a few megabytes.
@lru_cache(maxsize=8192)
def _parse(text: str) -> Mailbox:
    plain = _validate_plain(text)
    if plain is not None:
        return Mailbox("", plain)
    # Inside the text no control character is ever legitimate, not even in a quoted name: what
    # passes here later becomes a header line and an SMTP command.
    _refuse_unsafe_characters(text)
    stripped = text.strip()
    if "<" not in stripped and ">" not in stripped:
        return Mailbox("", _validate(stripped))
    match = _ANGLE.fullmatch(stripped)
    if match is None:
        raise InvalidAddressError(_describe(text, "write it as: Name <name@example.org>"))
    quoted, bare, address = match.groups()
    if quoted is not None:
        name = _QUOTED_PAIR.sub(r"\1", quoted)
    else:
        name = bare
        if any(char in name for char in ",;@"):
            raise InvalidAddressError(
                _describe(text, "a name with a comma, semicolon or @ needs double quotes")
            )
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if len(name) > MAX_DISPLAY_NAME_CHARACTERS:
        raise InvalidAddressError(
            f"A display name may have at most {MAX_DISPLAY_NAME_CHARACTERS} characters."
        )
    return Mailbox(name, _validate_plain(address) or _validate(address))


def _validate_plain(address: str) -> str | None:
    """Answer for a plain ASCII address as the library would, or None to let the library decide."""
    match = _PLAIN_ADDRESS.fullmatch(address)
    if match is None or len(address) > MAX_ADDRESS_OCTETS:
        return None
    local, domain, top = match.groups()
    if (
        len(local) > MAX_LOCAL_OCTETS
        or top.lower() in _REFUSED_SUFFIXES
        or any(len(label) > _MAX_LABEL for label in domain.split("."))
    ):
        return None
    if local.lower() in CASE_INSENSITIVE_MAILBOX_NAMES:
        local = local.lower()  # RFC 2142: postmaster, support and their like have no case
    return f"{local}@{domain.lower()}"


def _validate(address: str) -> str:
    local, at, domain = address.rpartition("@")
    if not at:
        raise InvalidAddressError(_describe(address, "the @ is missing"))
    local = unicodedata.normalize("NFC", local)
    if _octets(local) > MAX_LOCAL_OCTETS:
        raise InvalidAddressError(
            _describe(address, f"at most {MAX_LOCAL_OCTETS} octets may stand before the @")
        )
    if len(address) > MAX_ADDRESS_OCTETS:
        raise InvalidAddressError(
            _describe(address, f"an address has at most {MAX_ADDRESS_OCTETS} octets")
        )
    if not _is_local(local):
        raise InvalidAddressError(_describe(address, "the part before the @ is malformed"))
    ascii_domain = _encode_domain(domain)
    if ascii_domain is None:
        raise InvalidAddressError(_describe(address, "the part after the @ is no domain name"))
    if local.lower() in CASE_INSENSITIVE_MAILBOX_NAMES:
        local = local.lower()
    result = f"{local}@{ascii_domain}"
    if _octets(result) > MAX_ADDRESS_OCTETS:
        raise InvalidAddressError(
            _describe(address, f"an address has at most {MAX_ADDRESS_OCTETS} octets")
        )
    return result


def _octets(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _is_local(local: str) -> bool:
    """Whether it is a dot-atom, of RFC 6531 where it is not ASCII; never a quoted text."""
    if local.isascii():
        return _PLAIN_LOCAL.fullmatch(local) is not None
    try:
        validate_email(
            f"{local}@example.test",
            check_deliverability=False,
            test_environment=True,
            allow_smtputf8=True,
        )
    except EmailNotValidError:
        return False
    return True


# Punycode and its checks cost 250 us a domain, and people share domains.
@lru_cache(maxsize=1024)
def _encode_domain(domain: str) -> str | None:
    """Return the lower-case ASCII form of a domain, or None when it is none."""
    parent, _, top = domain.rpartition(".")
    if top.isdigit():
        return None  # "127.0.0.1" is an address, which SMTP would want in brackets
    private = top.lower() in _PRIVATE_SUFFIXES
    # A private name is checked with "test" in its place; every syntax rule still applies.
    checked = (f"{parent}.test" if parent else "test") if private else domain
    try:
        found = validate_email(
            f"a@{checked}",
            check_deliverability=False,
            test_environment=True,
            globally_deliverable=False,
            allow_smtputf8=False,
        )
    except EmailNotValidError:
        return None
    return found.ascii_domain.removesuffix("test") + top.lower() if private else found.ascii_domain


def _refuse_unsafe_characters(text: str) -> None:
    if text.isascii() and text.isprintable():
        return
    for char in text:
        category = unicodedata.category(char)
        # Zl and Zp are line breaks to some readers; Cf holds the marks that reverse text.
        if category in {"Zl", "Zp"} or (category[0] == "C" and char not in _JOINERS):
            raise InvalidAddressError("An address contains a control or invisible character.")


def _describe(text: str, hint: str) -> str:
    shown = text if len(text) <= MAX_ADDRESS_OCTETS else text[:80] + "..."
    return f"{shown!r} is not a valid address: {hint}."
