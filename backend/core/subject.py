"""Whom rooms keep something of: a person, as those who are asked to forget them are told."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Subject:
    """A person of the transaction's tenant, or of the platform.

    Attributes:
        user_id: Of who has, or had, a log-in; None: not known.
        address: Their e-mail address as it was given; None: not known.
        alias: What may stand where the address stood, and is the same for all its spellings.
        until: What begins later is made without anything of them.
    """

    user_id: str | None
    address: str | None
    alias: str
    until: datetime

    def is_told_in(self, column: Any) -> sa.ColumnElement[bool]:
        """Whether a column of text or JSON has the address, in whatever case.

        Every row that the statement is left with is read: there is no index for it.
        """
        text = sa.func.lower(sa.cast(column, sa.Text))
        wanted: list[str] = []
        if self.address:
            address = self.address.lower()
            # As SQLite keeps JSON, beyond ASCII there are escapes.
            wanted = [address, json.dumps(address)[1:-1]]
        return sa.or_(sa.false(), *(text.contains(one, autoescape=True) for one in set(wanted)))


@dataclass(frozen=True, slots=True)
class Bite:
    """What one step of forgetting a person did to a table.

    Attributes:
        looked_at: Rows.
        changed: Rows that went or were written over, by table.
        waiting: Rows that tell of the person and cannot go before something has ended.
        after: Where the next step begins, in the room's own words; None: the table is done.
    """

    looked_at: int
    changed: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    after: str | None = None


ERASED: Final = "erased"
"""What stands where something of a person stood."""
ROWS_AT_ONCE: Final = 2000
"""Rows that a step looks at where no index helps: others who write wait for its transaction."""
