"""What stands behind a reference: the name of a person, a client, a key or a tenant.

The platform writes who did something, and to what, as ``<noun>:<id>``, which stays right when names
change. People look for names.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dashboard import client

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

_OWN: Final = {"system": "the platform", "system:schedules": "its schedule"}
_KINDS: Final = {"user": "Person", "client": "API client", "api_key": "API key"}
_FRESH_SECONDS: Final = 60.0
# Who is not among them may have come since: looked for again, but not for each of many that left.
_AGAIN_SECONDS: Final = 5.0
# A page's list is read whole up to here; behind it a reference stays as it is.
_MAX_KNOWN: Final = 1000


class Known(NamedTuple):
    """What somebody or something is called; ``address`` is a person's, and empty otherwise."""

    name: str
    address: str = ""


class Names:
    """The names that one session may know, asked for when first needed and again after a minute."""

    def __init__(
        self,
        api: client.Api,
        permissions: AbstractSet[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask ``api`` for what the permissions allow."""
        self._clock = clock
        # The tenant's first: whoever is of the platform alone is looked for behind them.
        self._sources = [
            _Source(noun, fetch, key)
            for noun, permission, fetch, key in (
                ("user", "member:read", api.list_members, "id"),
                ("client", "client:read", api.list_clients, "client_id"),
                ("api_key", "api_key:read", api.list_api_keys, "id"),
                ("key", "key:read", api.list_keys, "id"),
                ("tenant", "platform:read", api.list_tenants, "id"),
                ("user", "platform:read", api.list_users, "id"),
                ("client", "platform:read", api.list_platform_clients, "client_id"),
                ("api_key", "platform:read", api.list_platform_api_keys, "id"),
            )
            if permission in permissions
        ]

    def of(self, reference: str) -> str:
        """Return the name behind ``<noun>:<id>``, or the reference where none can be had."""
        if reference in _OWN:
            return _OWN[reference]
        known = self._find(reference)
        return known.name if known else reference

    def whose(self, subject: str) -> str:
        """Return what tells a holder from another of the same name: a person's address, or a kind.

        Args:
            subject: As the API names holders, such as ``user:<id>``.
        """
        known = self._find(subject)
        return (known and known.address) or _KINDS.get(subject.partition(":")[0], subject)

    def _find(self, reference: str) -> Known | None:
        noun, _, key = reference.partition(":")
        for source in self._sources:
            if source.noun == noun and (known := source.find(key, self._clock())):
                return known
        return None


class _Source:
    """One list of the API, kept for a minute."""

    def __init__(self, noun: str, fetch: Callable[..., client.Page[Any]], key: str) -> None:
        self.noun = noun
        self._read = _reader(fetch, key)
        self._known: dict[str, Known] = {}
        self._asked = -_FRESH_SECONDS

    def find(self, key: str, now: float) -> Known | None:
        if now - self._asked >= (_FRESH_SECONDS if key in self._known else _AGAIN_SECONDS):
            self._asked = now
            # The reference says all; no page fails for want of a name.
            with contextlib.suppress(client.ApiProblem):
                self._known = dict(self._read())
        return self._known.get(key)


def _reader(
    fetch: Callable[..., client.Page[Any]], key: str
) -> Callable[[], Iterator[tuple[str, Known]]]:
    def read() -> Iterator[tuple[str, Known]]:
        seen = 0
        for page in client.walk(lambda cursor: fetch(cursor=cursor, limit=client.EXPORT_LIMIT)):
            for one in page.items:
                yield str(getattr(one, key)), Known(str(one.name), getattr(one, "email", ""))
            seen += len(page.items)
            if seen >= _MAX_KNOWN:
                return

    return read
