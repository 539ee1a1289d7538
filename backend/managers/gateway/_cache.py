"""What was verified before, and what was refused: a hot request asks nobody else."""

import hashlib
import logging
from collections.abc import Callable
from typing import Final

from backend.core.context import Principal
from backend.core.errors import AppError
from backend.managers.identity import AccessClaims

Refusal = Callable[[], AppError]
"""Makes what a refused caller is told."""

logger = logging.getLogger(__name__)

_CONCERNS: Final = frozenset({"tenant", "user", "client", "api_key"})

Concerns = tuple[str, ...]
"""Whose changes end what is known of a credential, as the signal ``principals`` names them."""


def concerns_of(claims: AccessClaims) -> Concerns:
    """Those of a token: its subject, its tenant, and the client that it was issued to."""
    return claims.subject, f"tenant:{claims.tenant_id}", f"client:{claims.client_id}"


class Known:
    """One verified credential. ``claims`` is None for API keys, whose row says everything."""

    __slots__ = ("answer", "claims", "concerns", "generation", "good_until", "principal")

    def __init__(
        self,
        principal: Principal,
        claims: AccessClaims | None,
        good_until: float,
        generation: int,
    ) -> None:
        self.principal = principal
        self.concerns: Concerns = (
            concerns_of(claims)
            if claims is not None
            else (principal.subject, f"tenant:{principal.tenant_id}")
        )
        self.claims = claims
        self.good_until = good_until
        self.generation = generation
        self.answer: bytes | None = None


class CredentialCache:
    """Credentials by SHA-256: those that held, with their principal, and those that did not.

    Each change begins a generation, and entries carry the one they were asked for in: one that is
    older than the last change of anything that it concerns is not believed. So a change costs as
    much whatever is cached, ends only what it concerns, and ends what is being looked up just then
    as well. A signature that held keeps holding, so after a change only the database is asked
    again, not the curve. Times are the monotonic clock's, in seconds.
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
        self._refused: dict[bytes, tuple[float, int, Concerns | None, Refusal]] = {}
        self._changed: dict[str, int] = {}
        self._all_changed = self._cleared = 0
        self._entries = entries
        self._refused_entries = refused_entries
        self._refused_seconds = refused_seconds
        self._monotonic = monotonic
        self.generation = 0

    def find(self, credential: str) -> Known | None:
        """What is known about a credential that holds right now; about a microsecond."""
        known = self._known.get(hashlib.sha256(credential.encode()).digest())
        if known is None or known.good_until <= self._monotonic():
            return None
        if known.generation != self.generation:
            if self._concerned(known.concerns, known.generation):
                return None
            known.generation = self.generation
        return known

    def _concerned(self, concerns: Concerns, generation: int) -> bool:
        """Whether anything of it has changed since that generation."""
        return generation < self._all_changed or any(
            generation < self._changed.get(each, 0) for each in concerns
        )

    def find_claims(self, digest: bytes) -> AccessClaims | None:
        """The claims of a token whose signature was verified before; they may have expired."""
        known = self._known.get(digest)
        # An entry from before a signing key changed may have been on its way then.
        return known.claims if known is not None and known.generation >= self._cleared else None

    def refusal(self, digest: bytes) -> Refusal | None:
        """How the credential was refused, if that was moments ago and nothing has changed since."""
        found = self._refused.get(digest)
        if found is None:
            return None
        until, generation, concerns, refusal = found
        if until <= self._monotonic() or (
            generation != self.generation
            if concerns is None
            else self._concerned(concerns, generation)
        ):
            return None
        return refusal

    def keep(
        self,
        digest: bytes,
        principal: Principal,
        claims: AccessClaims | None,
        seconds: float,
        generation: int,
    ) -> Known:
        """Remember a credential for ``seconds``.

        ``generation`` is the one in which the database was asked: when something of it changed
        meanwhile the entry is stillborn, instead of outliving the change.
        """
        self._known.pop(digest, None)
        if len(self._known) >= self._entries:
            del self._known[next(iter(self._known))]
        known = Known(principal, claims, self._monotonic() + seconds, generation)
        self._known[digest] = known
        return known

    def refuse(
        self, digest: bytes, generation: int, refusal: Refusal, concerns: Concerns | None
    ) -> None:
        """Remember for a few seconds that a credential does not hold, or may do nothing.

        ``concerns`` is whose changes could make it hold: empty when nobody's could, None when it is
        not known whom it stands for, so that any change may be the one.
        """
        self._known.pop(digest, None)
        self._refused.pop(digest, None)
        if len(self._refused) >= self._refused_entries:
            del self._refused[next(iter(self._refused))]
        until = self._monotonic() + self._refused_seconds
        self._refused[digest] = (until, generation, concerns, refusal)

    def drop(self, about: str) -> None:
        """Rights changed: look again at whom it concerns; at everybody if ``about`` is empty."""
        self.generation += 1
        kind, _, identity = about.partition(":")
        if about and not (kind in _CONCERNS and identity):
            logger.error("change_of_unknown_kind", extra={"about": about})
            about = ""
        if about and len(self._changed) < self._entries:
            self._changed[about] = self.generation
        else:
            self._all_changed = self.generation
            self._changed.clear()

    def clear(self) -> None:
        """A signing key changed: not even signatures are believed any more."""
        self.drop("")
        self._cleared = self.generation
        self._known.clear()
        self._refused.clear()
