"""Header fields, each written by its grammar.

A field is a list of addresses, of ids or of URLs, a phrase before an id, some phrases, something
for machines, or free text. Only what is meant for people may become encoded words (RFC 2047,
section 5): in an id or an address they are no encoding but another id. Whatever the grammar, a
field is folded where white space stands between its parts, and no line is longer than 998 octets;
the field may be.
"""

import binascii
import re
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote

from backend.kit.mime._address import Mailbox, parse_address
from backend.kit.mime.errors import InvalidAddressError, InvalidHeaderError

MAX_LINE_OCTETS: Final = 998
MAX_FIELD_OCTETS: Final = 16_384

_FOLD_AT: Final = 76
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_WORD: Final = re.compile(r"[ \t]*[^ \t]+")
_ATOM_PHRASE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+", re.ASCII)
_Q_SAFE: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/"  # RFC 2047 5 (3)
)
_PART_OF_LIST: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*"|<[^<>]*>|[^,"<])+')
_LIST_ID: Final = re.compile(r"([^<>]*)<([^<>\s]+)>")
_IN_BRACKETS: Final = re.compile(r"<([^<>]*)>")
# What a URL may hold as it is: RFC 3986's reserved and unreserved characters, and the per cent.
_URL_SAFE: Final = "!#$%&'()*+,/:;=?@[]~-._"


def check_text(name: str, value: str) -> None:
    """Refuse what no field may hold.

    Raises:
        InvalidHeaderError: A line break, a control character, half a surrogate pair; or it is
            longer than any field is.
    """
    if _CONTROL.search(value):
        raise InvalidHeaderError(f"{name} contains a line break or control character.", header=name)
    if len(value.encode()) > MAX_FIELD_OCTETS:
        raise InvalidHeaderError(f"{name} is longer than {MAX_FIELD_OCTETS} octets.", header=name)


def write_field(name: str, value: str) -> str:
    """The field as it stands in the message, folded, without its last line break.

    Raises:
        InvalidHeaderError: The field's grammar has no way to say this.
    """
    write = _GRAMMARS.get(name.lower(), text_field)
    written = write(name, value.strip(" \t"))
    if any(len(line) > MAX_LINE_OCTETS for line in written.split("\r\n")):
        raise InvalidHeaderError(
            f"A word of {name} does not fit into a line of {MAX_LINE_OCTETS} octets.", header=name
        )
    return written


def text_field(name: str, value: str) -> str:
    """Free text: plain where it may be, folded or encoded where it must."""
    value = value.strip(" \t")
    # A plain "=?" would be decoded by readers into something the author did not write.
    if value.isascii() and "=?" not in value:
        if len(name) + 2 + len(value) <= _FOLD_AT:
            return f"{name}: {value}"
        return _fold(name, _WORD.findall(value))
    words = _encode_words(value, first_room=_FOLD_AT - len(name) - 2)
    return f"{name}: " + "\r\n ".join(words)


def address_field(name: str, mailboxes: Sequence[Mailbox]) -> str:
    """A list of addresses."""
    # Commas are joined on after encoding, so none can slip into an encoded word.
    return _listed(name, [_format_mailbox(mailbox) for mailbox in mailboxes])


def _addresses(name: str, value: str) -> str:
    try:
        return address_field(name, [parse_address(one) for one in _split(value)])
    except InvalidAddressError as error:
        raise InvalidHeaderError(f"{name} is a list of addresses: {error.detail}") from None


def _ids(name: str, value: str) -> str:
    """Ids in angle brackets, separated by white space."""
    _refuse_foreign(name, value, "ids in angle brackets")
    return _fold(name, _WORD.findall(value))


def _list_id(name: str, value: str) -> str:
    """RFC 2919: what people call the list, and its id."""
    found = _LIST_ID.fullmatch(value)
    if found is None:
        return _ids(name, value)
    phrase, identifier = found.groups()
    _refuse_foreign(name, identifier, "a name and an id in angle brackets")
    shown = _phrase(_unquoted(phrase.strip()), room=_FOLD_AT - len(name) - 2)
    first = f"{name}: {shown}".rstrip()
    last = first.rpartition("\r\n")[2]
    gap = " " if len(last) + len(identifier) + 3 <= _FOLD_AT else "\r\n "
    return f"{first}{gap}<{identifier}>"


def _urls(name: str, value: str) -> str:
    """RFC 2369: URLs in angle brackets, separated by commas; letters they may not have escaped."""
    escaped = _IN_BRACKETS.sub(lambda one: f"<{quote(one[1].strip(), safe=_URL_SAFE)}>", value)
    _refuse_foreign(name, escaped, "URLs in angle brackets")
    return _listed(name, _split(escaped))


def _phrases(name: str, value: str) -> str:
    """Phrases, separated by commas."""
    return _listed(name, [_phrase(_unquoted(one), room=60) for one in _split(value)])


def _machine(name: str, value: str) -> str:
    """Tokens, dates, numbers: nothing in it is for people."""
    _refuse_foreign(name, value, "words of ASCII")
    return _fold(name, _WORD.findall(value))


_GRAMMARS: Final[dict[str, Callable[[str, str], str]]] = {
    **dict.fromkeys(
        ("references", "in-reply-to", "supersedes", "obsoletes", "original-message-id"), _ids
    ),
    "list-id": _list_id,
    **dict.fromkeys(
        (
            "list-unsubscribe",
            "list-subscribe",
            "list-help",
            "list-post",
            "list-owner",
            "list-archive",
            "archived-at",
        ),
        _urls,
    ),
    **dict.fromkeys(
        (
            "disposition-notification-to",
            "return-receipt-to",
            "mail-followup-to",
            "mail-reply-to",
            "approved-by",
        ),
        _addresses,
    ),
    "keywords": _phrases,
    **dict.fromkeys(
        (
            "accept-language",
            "auto-submitted",
            "autocrypt",
            "deferred-delivery",
            "disposition-notification-options",
            "expires",
            "expiry-date",
            "importance",
            "language",
            "list-unsubscribe-post",
            "precedence",
            "priority",
            "reply-by",
            "require-recipient-valid-since",
            "sensitivity",
            "tls-required",
            "x-auto-response-suppress",
            "x-mailgun-variables",
            "x-msmail-priority",
            "x-priority",
        ),
        _machine,
    ),
}


def _refuse_foreign(name: str, value: str, what: str) -> None:
    if not value.isascii():
        raise InvalidHeaderError(f"{name} holds {what}, which are ASCII.", header=name)


def _split(value: str) -> list[str]:
    """The parts of a list, at commas outside quotes and brackets."""
    return [one.strip() for one in _PART_OF_LIST.findall(value) if one.strip()]


def _unquoted(phrase: str) -> str:
    if len(phrase) > 1 and phrase[0] == phrase[-1] == '"':
        return re.sub(r"\\(.)", r"\1", phrase[1:-1])
    return phrase


def _listed(name: str, parts: Sequence[str]) -> str:
    line = f"{name}: " + ", ".join(parts)
    if len(line) <= _FOLD_AT and "\r" not in line:
        return line
    return f"{name}: " + ",\r\n ".join(parts)


def _format_mailbox(mailbox: Mailbox) -> str:
    name, address = mailbox.display_name, mailbox.address
    if not name:
        return address
    shown = _phrase(name, room=60)
    if "\r" in shown or shown.startswith("=?"):
        return f"{shown}\r\n <{address}>"
    # Names are at most 200 characters, so name and address stay far below 998 on one line, but
    # readers like lines of 78.
    return f"{shown}\r\n <{address}>" if len(name) + len(address) > 66 else f"{shown} <{address}>"


def _phrase(name: str, *, room: int) -> str:
    """Words for people where the grammar has something else beside them."""
    if not name.isascii() or "=?" in name or _CONTROL.search(name):
        return "\r\n ".join(_encode_words(name, first_room=room))
    if name and not _ATOM_PHRASE.fullmatch(name):
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return name


def _fold(name: str, words: Sequence[str]) -> str:
    lines: list[str] = []
    line = f"{name}: " + (words[0] if words else "")
    for word in words[1:]:
        if len(line) + len(word) > _FOLD_AT:
            lines.append(line)
            line = word  # it begins with the space it was found with: unfolding restores the value
        else:
            line += word
    lines.append(line)
    return "\r\n".join(lines)


def _encode_words(text: str, *, first_room: int) -> list[str]:
    """Split text into RFC 2047 words of whole characters, each at most 75 octets."""
    raw = text.encode()
    escaped = sum(3 if byte not in _Q_SAFE and byte != 0x20 else 1 for byte in raw)
    use_q = escaped <= len(raw) * 4 / 3
    words: list[str] = []
    # A long field name may leave no room; then the first line runs over 76, which is allowed.
    room = max(first_room, 24) - 12
    chunk: list[str] = []
    used = 0
    for char in text:
        encoded = char.encode()
        size = len(_q(encoded)) if use_q else len(encoded)
        limit = room if use_q else room // 4 * 3
        if chunk and used + size > limit:
            words.append(_encoded_word("".join(chunk).encode(), use_q=use_q))
            chunk, used, room = [], 0, 75 - 12
        chunk.append(char)
        used += size
    words.append(_encoded_word("".join(chunk).encode(), use_q=use_q))
    return words


def _encoded_word(raw: bytes, *, use_q: bool) -> str:
    if use_q:
        return f"=?utf-8?q?{_q(raw)}?="
    return f"=?utf-8?b?{binascii.b2a_base64(raw, newline=False).decode()}?="


def _q(raw: bytes) -> str:
    return "".join(
        chr(byte) if byte in _Q_SAFE else "_" if byte == 0x20 else f"={byte:02X}" for byte in raw
    )
