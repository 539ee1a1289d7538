"""What was verified before, and what was refused: a hot request asks nobody else."""

import hashlib
from collections.abc import Callable

from backend.core.context import Principal
from backend.core.errors import AppError
from backend.managers.identity import AccessClaims

Refusal = Callable[[], AppError]
"""Makes what a refused caller is told."""


class Known:
    """One verified credential. ``claims`` is None for API keys, whose row says everything."""

    __slots__ = ("answer", "claims", "generation", "good_until", "principal")

    def __init__(
        self,
        principal: Principal,
        claims: AccessClaims | None,
        good_until: float,
        generation: int,
    ) -> None:
        self.principal = principal
        self.claims = claims
        self.good_until = good_until
        self.generation = generation
        self.answer: bytes | None = None


class CredentialCache:
    """Credentials by SHA-256: those that held, with their principal, and those that did not.

    Dropping everything is one increment: entries carry the generation they were made in. A
    signature that held keeps holding across generations, so after a change only the database is
    asked again, not the curve. Times are the monotonic clock's, in seconds.
    """

    def __init__(
        self,
        *,
        entries: int,
        refused_entries: int,
        refused_seconds: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._known: dict[bytes, Known] = {}
        self._refused: dict[bytes, tuple[float, int, Refusal]] = {}
        self._entries = entries
        self._refused_entries = refused_entries
        self._refused_seconds = refused_seconds
        self._monotonic = monotonic
        self.generation = 0

    def find(self, credential: str) -> Known | None:
        """What is known about a credential that holds right now; about a microsecond."""
        known = self._known.get(hashlib.sha256(credential.encode()).digest())
        if (
            known is None
            or known.generation != self.generation
            or known.good_until <= self._monotonic()
        ):
            return None
        return known

    def find_claims(self, digest: bytes) -> AccessClaims | None:
        """The claims of a token whose signature was verified before; they may have expired."""
        known = self._known.get(digest)
        return known.claims if known is not None else None

    def refusal(self, digest: bytes) -> Refusal | None:
        """How the credential was refused, if that was moments ago and nothing has changed since."""
        found = self._refused.get(digest)
        if found is None or found[1] != self.generation or found[0] <= self._monotonic():
            return None
        return found[2]

    def keep(
        self,
        digest: bytes,
        principal: Principal,
        claims: AccessClaims | None,
        seconds: float,
        generation: int,
    ) -> Known:
        """Remember a credential for ``seconds``.

        ``generation`` is the one in which the database was asked: when something changed
        meanwhile the entry is stillborn, instead of outliving the change.
        """
        self._known.pop(digest, None)
        if len(self._known) >= self._entries:
            del self._known[next(iter(self._known))]
        known = Known(principal, claims, self._monotonic() + seconds, generation)
        self._known[digest] = known
        return known

    def refuse(self, digest: bytes, generation: int, refusal: Refusal) -> None:
        """Remember for a few seconds that a credential does not hold, or may do nothing."""
        self._known.pop(digest, None)
        self._refused.pop(digest, None)
        if len(self._refused) >= self._refused_entries:
            del self._refused[next(iter(self._refused))]
        until = self._monotonic() + self._refused_seconds
        self._refused[digest] = (until, generation, refusal)

    def drop(self) -> None:
        """Somebody's rights changed: look at everybody again."""
        self.generation += 1

    def clear(self) -> None:
        """A signing key changed: not even signatures are believed any more."""
        self.generation += 1
        self._known.clear()
