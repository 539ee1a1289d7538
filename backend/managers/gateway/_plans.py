"""From limits to what a request is charged to: one plan for each caller and class of routes."""

from collections.abc import Iterator
from typing import Final

from backend.kit.limiter import Charges, GcraLimiter, Level, Slots, policy_of
from backend.managers.gateway._limits import Bounds, LimitTable, Rate

OTHER: Final = "other"
"""The class of every route that has no class of its own."""

_MOST_PLANS: Final = 50_000
_MOST_KEYS: Final = 200_000
_MOST_LEVELS: Final = 1_000


class Plan:
    """What one caller's request to one class of routes is charged to.

    Attributes:
        charges: Levels that count requests: tenant, caller, class.
        weighed: These, and those that count bytes.
        policy: The RateLimit-Policy value for all of them.
        slots: What bounds the tenant's requests under way.
        cost: How many requests one counts for.
        most: The tightest burst.
        most_bytes: The tightest of bytes.
    """

    __slots__ = ("charges", "cost", "most", "most_bytes", "policy", "slots", "weighed")

    def __init__(
        self, charges: Charges, bytes_too: Charges, slots: tuple[Slots, str], cost: int
    ) -> None:
        self.charges = charges
        self.weighed = charges + bytes_too
        self.slots = slots
        self.cost = cost
        self.policy = policy_of(*(level for level, _ in self.weighed), slots[0])
        self.most = min(level.most for level, _ in charges)
        self.most_bytes = min(level.most for level, _ in bytes_too)


class Plans:
    """Makes plans once, and again when limits have changed; what was used stays used.

    Callers with the same limit share a level, each with a key of its own.
    """

    def __init__(self, table: LimitTable, classes: frozenset[str], clock: GcraLimiter) -> None:
        self._table = table
        self._classes = classes
        self._clock = clock
        self._plans: dict[tuple[str, str, str], Plan] = {}
        self._latest: dict[tuple[str, str], Level] = {}
        self._levels: dict[tuple[str, str, Rate], Level] = {}
        self._all_slots: dict[int, Slots] = {}

    def find(self, tenant_id: str, subject: str, route_class: str) -> Plan:
        """What a request of this caller to this class is charged to."""
        plan = self._plans.get((tenant_id, subject, route_class))
        return plan if plan is not None else self._make(tenant_id, subject, route_class)

    def callers_of(self, tenant_id: str) -> list[tuple[str, str]]:
        """The tenant's callers that this process has plans for, each with its classes."""
        return sorted(
            (subject, name) for of, subject, name in self._plans if of == tenant_id and subject
        )

    def forget(self) -> None:
        """The limits have changed."""
        self._plans = {}
        now = self._clock.now()
        if len(self._levels) > _MOST_LEVELS:
            self._levels = {k: v for k, v in self._levels.items() if not v.is_idle(now)}

    def _make(self, tenant_id: str, subject: str, route_class: str) -> Plan:
        if len(self._plans) >= _MOST_PLANS:
            self._plans = dict(list(self._plans.items())[_MOST_PLANS // 2 :])
        name = route_class if route_class in self._classes else OTHER
        who = f"{tenant_id}/{subject}"
        tenant = self._table.effective(tenant_id, "tenant", "")
        kind, _, called = subject.partition(":")
        caller = self._table.effective(tenant_id, kind or "caller", called)
        in_class = self._table.effective(tenant_id, kind or "caller", called, name)
        charges = (
            *self._charge("tenant", tenant, tenant_id),
            *self._charge("client", caller, who),
            *self._charge(name, in_class, who),
        )
        plan = Plan(
            tuple(each for each in charges if not each[0].weighs),
            tuple(each for each in charges if each[0].weighs),
            (self._slots(tenant.concurrency), tenant_id),
            in_class.cost or 1,
        )
        self._keep_used(plan)
        self._plans[tenant_id, subject, route_class] = plan
        return plan

    def _charge(self, name: str, bounds: Bounds, key: str) -> Iterator[tuple[Level, str]]:
        for rate, called, unit in (
            (bounds.requests, name, "requests"),
            (bounds.sustained, f"{name}_sustained", "requests"),
            (bounds.bytes, f"{name}_bytes", "content-bytes"),
        ):
            if rate is None:
                continue
            level = self._levels.get((called, unit, rate))
            if level is None:
                level = Level(called, rate.refill, rate.burst, seconds=rate.seconds, unit=unit)
                self._levels[called, unit, rate] = level
            yield level, key

    def _slots(self, most: int | None) -> Slots:
        if most is None:
            raise ValueError("nothing bounds the requests that a tenant has under way")
        if most not in self._all_slots:
            one = next(iter(self._all_slots.values()), None)
            self._all_slots[most] = Slots("tenant_concurrency", most, before=one)
        return self._all_slots[most]

    def _keep_used(self, plan: Plan) -> None:
        if len(self._latest) >= _MOST_KEYS:
            self._latest = dict(list(self._latest.items())[_MOST_KEYS // 2 :])
        now = self._clock.now()
        for level, key in plan.weighed:
            before = self._latest.get((level.name, key), level)
            if before is not level:
                level.adopt(before, key, now)
            self._latest[level.name, key] = level
