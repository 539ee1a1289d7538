"""What stands behind a reference: the name of a person, a client, a key or a tenant.

The platform writes who did something, and to what, as ``<noun>:<id>``, which stays right when names
change. People look for names.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from dashboard import client

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

_OWN: Final = {"system": "the platform"}
_KINDS: Final = {"user": "Person", "client": "API client", "api_key": "API key"}
_FRESH_SECONDS: Final = 60.0
# Who is not among them may have come since: looked for again, but not for each of many that left.
_AGAIN_SECONDS: Final = 5.0
# A page's list is read whole up to here; behind it a reference stays as it is.
_MAX_KNOWN: Final = 1000


def kind_of(subject: str) -> str:
    """Return what somebody is, and the end of their id: two may have one name."""
    noun, _, key = subject.partition(":")
    return f"{_KINDS[noun]} …{key[-6:]}" if noun in _KINDS else subject


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
        self._sources: dict[str, Callable[[], Iterator[tuple[str, str]]]] = {
            noun: _reader(fetch, key)
            for noun, permission, fetch, key in (
                ("user", "member:read", api.list_members, "id"),
                ("client", "client:read", api.list_clients, "client_id"),
                ("api_key", "api_key:read", api.list_api_keys, "id"),
                ("tenant", "platform:read", api.list_tenants, "id"),
            )
            if permission in permissions
        }
        self._known: dict[str, dict[str, str]] = {}
        self._asked: dict[str, float] = {}

    def of(self, reference: str) -> str:
        """Return the name behind ``<noun>:<id>``, or the reference where none can be had."""
        noun, _, key = reference.partition(":")
        if reference in _OWN:
            return _OWN[reference]
        source = self._sources.get(noun)
        if source is None:
            return reference
        known = self._known.get(noun, {})
        age = self._clock() - self._asked.get(noun, -_FRESH_SECONDS)
        if age >= (_FRESH_SECONDS if key in known else _AGAIN_SECONDS):
            self._asked[noun] = self._clock()
            # The reference says all; no page fails for want of a name.
            with contextlib.suppress(client.ApiProblem):
                self._known[noun] = known = dict(source())
        return known.get(key, reference)


def _reader(
    fetch: Callable[..., client.Page[Any]], key: str
) -> Callable[[], Iterator[tuple[str, str]]]:
    def read() -> Iterator[tuple[str, str]]:
        seen = 0
        for page in client.walk(lambda cursor: fetch(cursor=cursor, limit=client.EXPORT_LIMIT)):
            yield from ((str(getattr(one, key)), str(one.name)) for one in page.items)
            seen += len(page.items)
            if seen >= _MAX_KNOWN:
                return

    return read
