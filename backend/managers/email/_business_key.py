"""Holds a second use of a business key to the first: the same people, the same subject.

What they are compared by is made of what the message keeps anyway. A column would be written with
every message, and read only when a key comes back.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

from backend.managers.email._values import Email, Prepared
from backend.managers.email.errors import BusinessKeyConflictError


def refuse(prepared: Sequence[Prepared], known: Mapping[str | None, Email]) -> None:
    """Refuse what will not be written, given the messages under the keys that are known.

    Raises:
        AppError: What a message was refused for while it was prepared, and no known key excuses.
        BusinessKeyConflictError: As :func:`hold_to_first`.
    """
    used: dict[str | None, Email | Prepared] = {**known}
    for one in prepared:
        key = one.draft.business_key
        first = used.get(key) if key else None
        # Recipients that cannot be read are none of the first message's.
        if one.refusal is not None and (first is None or not one.recipients):
            raise one.refusal
        if first is not None:
            hold_to_first(one, first)
        elif key:
            used[key] = one


def hold_to_first(second: Prepared, first: Email | Prepared) -> None:
    """Accept ``second`` as a repetition of ``first``, or as its author's wish to get the first.

    A template that cannot be filled in any more has no subject to compare.

    Raises:
        BusinessKeyConflictError: It is for other people or has another subject.
    """
    if second.draft.returns_first:
        return
    people, subject = _of(second)
    first_people, first_subject = _of(first)
    if subject is None or first_subject is None:
        subject = first_subject = None
    differs = [
        name
        for name, same in (
            ("recipients", people == first_people),
            ("subject", subject == first_subject),
        )
        if not same
    ]
    if differs:
        raise BusinessKeyConflictError(
            f"{second.draft.business_key!r} was used first for a message with another "
            f"{' and '.join(differs)}. Give each act a key of its own; to get the first message "
            "all the same, ask with on_key_conflict: return_first.",
            differs=differs,
            first_fingerprint=_fingerprint(first_people, first_subject),
            fingerprint=_fingerprint(people, subject),
            # Null when the first stands in the same batch, and is refused with this one.
            email_id=first.id if isinstance(first, Email) else None,
        )


def _of(one: Email | Prepared) -> tuple[list[tuple[str, str]], str | None]:
    if isinstance(one, Email):
        return sorted((r.kind, r.address.lower()) for r in one.recipients), one.subject
    subject = one.content.subject if one.refusal is None else one.draft.subject
    return sorted((kind, box.identity) for kind, box in one.recipients), subject


def _fingerprint(people: list[tuple[str, str]], subject: str | None) -> str:
    return hashlib.sha256(json.dumps([people, subject]).encode()).hexdigest()[:32]
