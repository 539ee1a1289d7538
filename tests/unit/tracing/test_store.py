"""What a process holds of spans: bounded for each tenant, and for all of them together."""

from datetime import UTC, datetime

from backend.managers.tracing._spans import SERVER, Span
from backend.managers.tracing._store import SpanStore
from backend.managers.tracing.settings import TracingSettings

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ROOM = 100_000


def store(**more: int) -> SpanStore:
    settings = TracingSettings(waiting_bytes=ROOM, all_waiting_bytes=ROOM).model_copy(update=more)
    return SpanStore(settings, slow_seconds=1)


def spans(count: int, trace: int = 0) -> list[Span]:
    name = "GET /" + "x" * 200
    return [
        Span(f"{trace + n:032x}", f"{n + 1:016x}", "", "shop", name, SERVER, 1, 1)
        for n in range(count)
    ]


def held(one: SpanStore, tenant: str) -> int:
    return one._held_bytes[tenant]


class TestRoom:
    def test_one_that_floods_gets_half_and_others_go_on(self) -> None:
        one = store()
        size = spans(1)[0].size_bytes
        for trace in range(20):
            one.add(NOW, "flood", spans(200, trace * 1000))
        assert one.is_full("flood")
        assert ROOM / 2 <= held(one, "flood") <= ROOM / 2 + size
        # Somebody else's spans find room meanwhile, and its flood is half of what is left.
        assert one.add(NOW, "calm", spans(5)) == 0
        for trace in range(20):
            one.add(NOW, "second", spans(200, trace * 1000))
        assert ROOM / 5 < held(one, "second") < ROOM / 4 + size
        assert one.add(NOW, "calm", spans(5, 1000)) == 0

    def test_never_more_than_all_may_hold(self) -> None:
        one = store()
        size = spans(1)[0].size_bytes
        for tenant in range(50):
            one.add(NOW, str(tenant), spans(1000))
        total = sum(one._held_bytes.values())
        assert total == one._all_held_bytes
        assert ROOM * 0.9 < total <= ROOM + size
        for tenant in range(50):
            one.leave(str(tenant))
        assert (one._all_held_bytes, dict(one._held_bytes)) == (0, {})
        assert one.add(NOW, "next", spans(5)) == 0
