"""What the head of a request must be, whatever route it is for: one host, known parameters."""

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import parse_qsl

from backend.core.errors import AppError, InvalidInputError
from backend.http.problem import pointer

_NAME: Final = rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+"
_FUTURE: Final = rb"v[0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+"
_HOST: Final = re.compile(
    rb"(?:%s|\[(?:(?P<v6>[0-9A-Fa-f:.]+)|%s)\])(?::[0-9]*)?" % (_NAME, _FUTURE)
)
_MAX_PARAMETERS: Final = 200
_MAX_NAME: Final = 100
_MAX_ERRORS: Final = 20


class HostInvalidError(AppError):
    """No Host header, more than one, or one that names no host (RFC 9112, section 3.2)."""

    status, code, title = 400, "invalid_host", "The Host header is not valid"


def refuse_host(host: bytes | None, version: str) -> None:
    """Refuse a request of which two servers could think that it was meant for different hosts.

    Args:
        host: The header's value; of several lines, their list.
        version: Of HTTP; before 1.1 the header may be missing.

    Raises:
        HostInvalidError: RFC 9112 demands this answer.
    """
    if host is None:
        if version in {"1.0", "0.9"}:
            return
        raise HostInvalidError("There is no Host header")
    if not _names_a_host(host):
        raise HostInvalidError("It is one name or address, and perhaps a port")


@lru_cache(maxsize=1024)
def _names_a_host(value: bytes) -> bool:
    """By the grammar of RFC 3986, section 3.2.2; empty is no host of an ``http`` address."""
    found = _HOST.fullmatch(value)
    if found is None:
        return False
    if found["v6"] is not None:
        try:
            IPv6Address(found["v6"].decode())
        except ValueError:
            return False
    return True


def refuse_unknown_parameters(known: Mapping[str, bool], query: bytes) -> None:
    """Refuse query parameters that the operation does not take.

    A misspelt filter that is passed over answers with everything, and the caller believes that it
    is the part they asked for. So does the first of two values of which the last counts.

    Args:
        known: The parameters by name, and whether one may be given several times.
        query: As it came.

    Raises:
        InvalidInputError: ``errors`` points at each of the first twenty.
    """
    try:
        pairs = parse_qsl(query.decode("latin-1"), True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise InvalidInputError(f"There are more than {_MAX_PARAMETERS} parameters") from None
    errors: dict[str, str] = {}
    seen: set[str] = set()
    for name, _ in pairs:
        if name not in known:
            takes = ", ".join(sorted(known)) or "none"
            errors[name] = f"No such parameter; this operation takes {takes}"
        elif name in seen and not known[name]:
            errors[name] = "Given more than once"
        seen.add(name)
    if errors:
        raise InvalidInputError(
            f"{len(errors)} problem(s) in the request",
            errors=[
                {"pointer": pointer(["query", name[:_MAX_NAME]]), "detail": detail}
                for name, detail in list(errors.items())[:_MAX_ERRORS]
            ],
        )
