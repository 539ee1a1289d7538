"""Who gets a message: each person once, and not too many of them."""

from collections.abc import Sequence
from typing import NamedTuple

from backend.kit.mime import InvalidAddressError, Mailbox
from backend.managers.email.errors import TooManyRecipientsError


class Recipients(NamedTuple):
    """The distinct recipients of one message by kind, in the caller's order."""

    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    bcc: tuple[Mailbox, ...]


def dedupe(
    to: Sequence[Mailbox],
    cc: Sequence[Mailbox] = (),
    bcc: Sequence[Mailbox] = (),
    *,
    max_recipients: int = 500,
) -> Recipients:
    """Keep each person once, in the first of ``to``, ``cc``, ``bcc`` that names them.

    Raises:
        InvalidAddressError: Nobody is left to send to.
        TooManyRecipientsError: More than ``max_recipients`` distinct people remain.
    """
    seen: set[str] = set()
    kept: list[tuple[Mailbox, ...]] = []
    for group in (to, cc, bcc):
        fresh: list[Mailbox] = []
        for mailbox in group:
            identity = mailbox.identity
            if identity not in seen:
                seen.add(identity)
                fresh.append(mailbox)
        kept.append(tuple(fresh))
    if not seen:
        raise InvalidAddressError("A message needs at least one recipient.")
    if len(seen) > max_recipients:
        raise TooManyRecipientsError(
            f"{len(seen)} recipients, but one message may have {max_recipients}.",
            limit=max_recipients,
        )
    return Recipients(*kept)
