"""Kinds of jobs that tenants may submit, and with what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from backend.core.database import Tx
from backend.core.errors import InvalidInputError
from backend.managers.orchestrator.errors import JobForbiddenError
from backend.managers.orchestrator.kinds import JobKind


@dataclass(frozen=True, slots=True)
class Offer:
    """A kind that tenants may submit; ``args`` is a JSON Schema of what it takes.

    ``permissions`` are those that its submitter may have to hold beside that of submitting jobs.
    """

    kind: str
    args: Mapping[str, Any]
    permissions: Sequence[str]


class Offers:
    """What this process takes from tenants: a single job and a task of a graph alike."""

    def __init__(self, kinds: Mapping[str, JobKind]) -> None:
        """Take no copy: what is registered later is offered, too."""
        self._kinds = kinds

    def list(self) -> Sequence[Offer]:
        """All of them, by their names."""
        return [
            Offer(name, msgspec.json.schema(kind.takes), sorted(kind.needs(None)))
            for name, kind in sorted(self._kinds.items())
            if kind.takes is not None
        ]

    def has(self, kind: str) -> bool:
        """Whether tenants may submit it."""
        known = self._kinds.get(kind)
        return known is not None and known.takes is not None

    def rights(self, permissions: frozenset[str]) -> Sequence[str]:
        """Of these permissions the ones that some kind takes: what is kept of a submitter's."""
        needed = frozenset[str]().union(*(one.needs(None) for one in self._kinds.values()))
        return sorted(needed & permissions)

    def check(
        self,
        tx: Tx,
        kind: str,
        args: Mapping[str, Any] | None,
        refused: type[InvalidInputError],
        *,
        permissions: frozenset[str],
    ) -> None:
        """See that one with these permissions may submit the kind, and so.

        ``args`` that are not known yet are None. What it takes is noted in ``tx``.

        Raises:
            InvalidInputError: ``refused``, at ``kind`` or at ``args``.
            JobForbiddenError: It takes a permission that is not among them.
        """
        known = self._kinds.get(kind)
        if known is None or known.takes is None:
            offered = ", ".join(one.kind for one in self.list())
            raise refused(f"The kind is one of {offered}").at("kind")
        if args is not None:
            try:
                msgspec.convert(dict(args), known.takes)
            except msgspec.ValidationError as exc:
                raise refused(str(exc)).at("args") from None
        needed = known.needs(args)
        for lacking in sorted(needed - permissions):
            raise JobForbiddenError(
                f"A job of the kind {kind} takes the permission {lacking}", permission=lacking
            )
        tx.demand(needed)

    def check_shown(self, kind: str, permissions: frozenset[str]) -> None:
        """See that one with these permissions may see what a job of the kind is given.

        Raises:
            JobForbiddenError: It takes a permission that is not among them.
        """
        needed = self._kinds[kind].shown_to
        if needed is not None and needed not in permissions:
            raise JobForbiddenError(
                f"What a job of the kind {kind} is given takes the permission {needed} to see",
                permission=needed,
            )
