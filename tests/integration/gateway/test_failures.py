"""Failed attempts in the audit trail: shown at once, counted after, never more than a few rows."""

from backend.core.ids import PLATFORM_TENANT
from backend.managers.gateway._failures import Failure


def failure(target="address:192.0.2.7", address="192.0.2.7"):
    return Failure("login.failed", target, address)


class TestNote:
    async def test_writes_the_first_at_once_and_counts_the_rest(self, gate):
        for _ in range(5):
            await gate.gateway._failures.note(failure(), "req-9")
        (row,) = await gate.acts("login.failed")
        assert (row.data, row.request_id) == ({"address": "192.0.2.7", "count": 1}, "req-9")
        assert row.tenant_id == PLATFORM_TENANT
        await gate.gateway.flush()
        assert len(await gate.acts("login.failed")) == 1
        gate.clock.advance(10)
        await gate.gateway.flush()
        assert [row.data["count"] for row in await gate.acts("login.failed")] == [1, 4]

    async def test_carries_a_count_into_the_next_window(self, gate):
        for _ in range(3):
            await gate.gateway._failures.note(failure(), "")
        gate.clock.advance(10)
        await gate.gateway._failures.note(failure(), "")
        assert [row.data["count"] for row in await gate.acts("login.failed")] == [1, 3]

    async def test_keeps_targets_apart(self, gate):
        for number in range(3):
            await gate.gateway._failures.note(failure(f"user:{number}"), "")
        assert len(await gate.acts("login.failed")) == 3

    async def test_counts_all_others_together_when_there_are_too_many(self, gate, monkeypatch):
        monkeypatch.setattr("backend.managers.gateway._failures._MAX_OPEN", 3)
        for number in range(50):
            await gate.gateway._failures.note(failure(f"user:{number}", f"192.0.2.{number}"), "")
        gate.clock.advance(10)
        await gate.gateway.flush()
        rows = await gate.acts("login.failed")
        assert [row.target for row in rows[3:]] == ["address:*", "address:*"]
        assert sum(row.data["count"] for row in rows) == 50


class TestRunning:
    async def test_writes_what_was_counted_when_it_ends(self, gate):
        async with gate.gateway.running():
            for _ in range(5):
                await gate.gateway._failures.note(failure(), "")
        assert [row.data["count"] for row in await gate.acts("login.failed")] == [1, 4]
