"""What a client or a key is held to within its role: in a form, in an opened row, in a change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from dashboard.pages import Column, Input

FACTS: Final = (
    Column(
        "scopes",
        "Held to",
        value=lambda one: "all of its role" if one.scopes is None else ", ".join(one.scopes),
    ),
    Column("networks", "Used from", value=lambda one: ", ".join(one.networks) or "anywhere"),
)
INPUTS: Final = (
    Input("expires_at", "Last day (optional)", "last_day", required=False),
    Input(
        "scopes", "Held to permissions (optional)", "words", example="email:send email:read",
        required=False, help="Some of the role's, between spaces. Empty: all of them.",
    ),
    Input(
        "networks", "Used from networks (optional)", "words",
        example="192.0.2.0/24 2001:db8::/32", required=False,
        help="Addresses or networks, between spaces. Empty: anywhere.",
    ),
)  # fmt: skip


def body_of(made: Callable[..., msgspec.Struct]) -> Callable[..., msgspec.Struct]:
    """Return what makes a request of the form's fields: no networks are an empty list."""

    def body(*, networks: list[str] | None, **given: Any) -> msgspec.Struct:
        return made(networks=networks or [], **given)

    return body
