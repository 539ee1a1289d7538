"""Failed attempts in the audit trail: shown at once, counted after, never more than a few rows."""

from backend.core.ids import PLATFORM_TENANT
from backend.managers.identity._failures import Denial, Failure


def failure(target="address:192.0.2.7", address="192.0.2.7"):
    return Failure("login.failed", target, address)


def refusal(route, target="address:192.0.2.7"):
    denial = Denial("GET", route, 401, "unauthenticated")
    return Failure("access.denied", target, "192.0.2.7", denial=denial)


class TestNote:
    async def test_writes_the_first_at_once_and_counts_the_rest(self, gate):
        for _ in range(5):
            await gate.identity.failures.note(failure(), "req-9")
        (row,) = await gate.acts("login.failed")
        assert (row.data, row.request_id) == ({"address": "192.0.2.7", "count": 1}, "req-9")
        assert row.tenant_id == PLATFORM_TENANT
        await gate.identity.failures.flush()
        assert len(await gate.acts("login.failed")) == 1
        gate.clock.advance(10)
        await gate.identity.failures.flush()
        assert [row.data["count"] for row in await gate.acts("login.failed")] == [1, 4]

    async def test_carries_a_count_into_the_next_window(self, gate):
        for _ in range(3):
            await gate.identity.failures.note(failure(), "")
        gate.clock.advance(10)
        await gate.identity.failures.note(failure(), "")
        assert [row.data["count"] for row in await gate.acts("login.failed")] == [1, 3]

    async def test_keeps_targets_apart(self, gate):
        for number in range(3):
            await gate.identity.failures.note(failure(f"user:{number}"), "")
        assert len(await gate.acts("login.failed")) == 3

    async def test_counts_all_others_together_when_there_are_too_many(self, gate, monkeypatch):
        monkeypatch.setattr("backend.managers.identity._failures._MAX_OPEN", 3)
        for number in range(50):
            await gate.identity.failures.note(failure(f"user:{number}", f"192.0.2.{number}"), "")
        gate.clock.advance(10)
        await gate.identity.failures.flush()
        rows = await gate.acts("login.failed")
        assert [row.target for row in rows[3:]] == ["address:*", "address:*"]
        assert sum(row.data["count"] for row in rows) == 50

    async def test_tells_ten_operations_of_a_target_apart_and_no_more(self, gate):
        note = gate.identity.failures.note
        for number in range(30):
            await note(refusal(f"/r{number}"), "")
            await note(refusal(f"/r{number}"), "")
        rows = await gate.acts("access.denied")
        assert [row.data["route"] for row in rows] == [*(f"/r{n}" for n in range(10)), "*"]
        await note(refusal("/r0", "client:es_1"), "")
        assert (await gate.acts("access.denied"))[-1].data["route"] == "/r0"
        gate.clock.advance(10)
        await gate.identity.failures.flush()
        rows = await gate.acts("access.denied")
        assert sum(row.data["count"] for row in rows) == 61
        # Ten seconds later there is room again.
        await note(refusal("/r29"), "")
        assert (await gate.acts("access.denied"))[-1].data["route"] == "/r29"

    async def test_keeps_half_of_the_room_for_other_targets(self, gate, monkeypatch):
        monkeypatch.setattr("backend.managers.identity._failures._MAX_OPEN", 10)
        for target in range(6):
            for number in range(3):
                await gate.identity.failures.note(refusal(f"/r{number}", f"user:{target}"), "")
        gate.clock.advance(10)
        await gate.identity.failures.flush()
        rows = await gate.acts("access.denied")
        assert {row.target for row in rows} == {f"user:{target}" for target in range(6)}
        assert sum(row.data["count"] for row in rows) == 18

    async def test_names_each_actor_in_the_rest_of_its_window(self, gate):
        for _ in range(2):
            for actor in ("user:1", "client:es_1"):
                made = Failure("access.denied", actor, "192.0.2.7", actor=actor)
                await gate.identity.failures.note(made, "")
        gate.clock.advance(10)
        await gate.identity.failures.flush()
        rows = await gate.acts("access.denied")
        assert sorted((row.actor, row.target) for row in rows) == [
            ("client:es_1", "client:es_1"),
            ("client:es_1", "client:es_1"),
            ("user:1", "user:1"),
            ("user:1", "user:1"),
        ]


class TestRunning:
    async def test_writes_what_was_counted_when_it_ends(self, gate):
        async with gate.identity.serving(gate.database):
            for _ in range(5):
                await gate.identity.failures.note(failure(), "")
        assert [row.data["count"] for row in await gate.acts("login.failed")] == [1, 4]
