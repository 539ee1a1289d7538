"""UUIDv7: version, order, time."""

import os
import threading
import time
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from backend.core.ids import uuid7, uuid7_at


class TestUuid7:
    def test_is_a_version_7_of_the_rfc_variant(self):
        made = uuid.UUID(uuid7())
        assert made.version == 7
        assert made.variant == uuid.RFC_4122

    def test_begins_with_the_milliseconds_since_1970(self):
        before = time.time_ns() // 1_000_000
        made = uuid.UUID(uuid7()).int >> 80
        assert before - 1 <= made <= time.time_ns() // 1_000_000 + 1000

    def test_sorts_in_the_order_of_making_even_within_a_millisecond(self):
        made = [uuid7() for _ in range(20_000)]
        assert made == sorted(made)
        assert len(set(made)) == len(made)

    def test_threads_never_share_one(self):
        made: list[str] = []
        threads = [
            threading.Thread(target=lambda: made.extend(uuid7() for _ in range(2000)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(made)) == 8000

    def test_a_forked_process_makes_none_of_its_parents(self):
        uuid7()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, "".join(uuid7()[19:] for _ in range(50)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        theirs = os.read(reading, 10_000).decode()
        ours = [uuid7()[19:] for _ in range(50)]
        assert len(theirs) == 50 * 17
        assert not [one for one in ours if one in theirs]


@pytest.mark.parametrize("year", [1, 667, 1969, 1970, 2026, 9999])
def test_every_time_has_a_place_among_ids(year):
    least = uuid7_at(datetime(year, 1, 1, tzinfo=timezone(timedelta(hours=12))))
    assert str(uuid.UUID(least)) == least
    assert (least < uuid7()) == (year < 2030)
