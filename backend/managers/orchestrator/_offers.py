"""Kinds of jobs that tenants may submit, and with what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from backend.core.errors import InvalidInputError
from backend.managers.orchestrator.kinds import JobKind


@dataclass(frozen=True, slots=True)
class Offer:
    """A kind that tenants may submit; ``args`` is a JSON Schema of what it takes."""

    kind: str
    args: Mapping[str, Any]


class Offers:
    """What this process takes from tenants: a single job and a task of a graph alike."""

    def __init__(self, kinds: Mapping[str, JobKind]) -> None:
        """Take no copy: what is registered later is offered, too."""
        self._kinds = kinds

    def list(self) -> Sequence[Offer]:
        """All of them, by their names."""
        return [
            Offer(name, msgspec.json.schema(kind.takes))
            for name, kind in sorted(self._kinds.items())
            if kind.takes is not None
        ]

    def has(self, kind: str) -> bool:
        """Whether tenants may submit it."""
        known = self._kinds.get(kind)
        return known is not None and known.takes is not None

    def check(
        self, kind: str, args: Mapping[str, Any] | None, refused: type[InvalidInputError]
    ) -> None:
        """See that tenants may submit the kind, and so; ``args`` that are not known yet are None.

        Raises:
            InvalidInputError: ``refused``, at ``kind`` or at ``args``.
        """
        known = self._kinds.get(kind)
        if known is None or known.takes is None:
            offered = ", ".join(one.kind for one in self.list())
            raise refused(f"The kind is one of {offered}").at("kind")
        if args is None:
            return
        try:
            msgspec.convert(dict(args), known.takes)
        except msgspec.ValidationError as exc:
            raise refused(str(exc)).at("args") from None
