"""Whom rooms keep something of: a person, as those who are asked to forget them are told."""

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Subject:
    """A person of the transaction's tenant, or of the platform.

    Attributes:
        user_id: Of who has, or had, a log-in; None: not known.
        address: Their e-mail address as it was given; None: not known.
        alias: What may stand where the address stood, and is the same for all its spellings.
    """

    user_id: str | None
    address: str | None
    alias: str

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


ERASED = "erased"
"""What stands where something of a person stood."""
