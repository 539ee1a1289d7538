"""Leaves a destination alone that keeps failing, for the tenant to whom it fails."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from backend.kit.outbound.errors import UnreachableError

_MAX_CIRCUITS: Final = 10_000


class _Circuit:
    __slots__ = ("failures", "open_until", "probing")

    def __init__(self) -> None:
        self.failures = 0
        self.open_until = 0.0
        self.probing = False


class Breaker:
    """Closed until ``failures`` in a row, then open for ``seconds``, then half open: one may try.

    A success closes it, the failure of the one that tried opens it again. A circuit belongs to one
    tenant and one destination: what a destination does to one tenant says nothing about another's.
    At most 10 000 circuits have failures to remember; the one untouched longest is forgotten.
    """

    def __init__(
        self, failures: int, seconds: float, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._failures = failures
        self._seconds = seconds
        self._clock = clock
        self._circuits: OrderedDict[tuple[str, str], _Circuit] = OrderedDict()

    @contextmanager
    def guard(self, tenant_id: str, destination: str) -> Iterator[None]:
        """One try: an ``UnreachableError`` of the block is a failure, its end a success.

        Anything else that leaves the block, its cancellation included, says nothing.

        Raises:
            UnreachableError: The destination is being left alone; ``retry_after_seconds`` says how
                long yet.
        """
        key = (tenant_id, destination)
        probe = self._admit(key, destination)
        try:
            yield
        except UnreachableError:
            self._failed(key)
            raise
        except BaseException:
            if probe is not None:
                probe.probing = False
            raise
        else:
            self._circuits.pop(key, None)

    def _admit(self, key: tuple[str, str], destination: str) -> _Circuit | None:
        """The circuit, if this try is the one that decides about the others."""
        circuit = self._circuits.get(key)
        if circuit is None or circuit.failures < self._failures:
            return None
        left = circuit.open_until - self._clock()
        if left <= 0 and not circuit.probing:
            circuit.probing = True
            return circuit
        seconds = max(1, round(left))
        raise UnreachableError(
            f"{destination} has failed {circuit.failures} times in a row and is left alone for "
            f"{seconds} s",
            retry_after_seconds=seconds,
        )

    def _failed(self, key: tuple[str, str]) -> None:
        circuit = self._circuits.setdefault(key, _Circuit())
        self._circuits.move_to_end(key)
        circuit.failures += 1
        circuit.probing = False
        if circuit.failures >= self._failures:
            circuit.open_until = self._clock() + self._seconds
        if len(self._circuits) > _MAX_CIRCUITS:
            self._circuits.popitem(last=False)
