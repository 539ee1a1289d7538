"""Entity tags (RFC 9110 section 8.8.3): nobody's edit overwrites another's unseen."""

import re
from typing import Annotated, Final

from fastapi import Header

from backend.core.errors import PreconditionError

_TAG: Final = re.compile(r'"([\x21\x23-\x7e]{1,62})"')

IfMatch = Annotated[
    str | None, Header(max_length=64, description="The ETag that was read; `*`: whatever is there")
]


def etag(version: str) -> str:
    """The strong tag of what a manager calls this version."""
    return f'"{version}"'


def expected_version(if_match: str | None, changed: type[PreconditionError]) -> str | None:
    """The version that the caller means to change; None when any will do.

    Raises:
        PreconditionError: Of the kind ``changed``: this was never a tag of ours.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    found = _TAG.fullmatch(if_match.strip())
    if found is None:
        raise changed
    return found[1]
