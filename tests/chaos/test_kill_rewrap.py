"""The worker killed as it seals everything anew: a sample of ``scripts/drill rewrap``."""

import asyncio
import logging
import random
import secrets

import pytest

from scripts.drills.rewrap import SETTINGS, RewrapReport, find_words, rewrap
from scripts.drills.rig import open_rig

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(1200)]

logger = logging.getLogger(__name__)

SECRETS = 300
KILLS = 2


@pytest.fixture(scope="module")
def report(durable, tmp_path_factory) -> RewrapReport:
    """One drill; every test below looks at another promise."""
    seed = secrets.randbelow(10**6)
    # pytest shows warnings with a failure, and only then.
    logger.warning("seed %s", seed)

    async def hold() -> RewrapReport:
        folder = tmp_path_factory.mktemp("drill") / "rig"
        # So slow that there is a middle to strike in.
        settings = SETTINGS | {"SECURITY__REWRAP_ROWS_PER_SECOND": "250"}
        async with asyncio.timeout(1000), open_rig(folder, durable, settings) as rig:
            return await rewrap(rig, random.Random(seed), secrets=SECRETS, kills=KILLS)

    made = asyncio.run(hold())
    logger.warning("%s", made)
    # Here, so that a second try is a second drill.
    assert made.problems() == [], str(made)
    return made


class TestKillRewrap:
    def test_struck_in_the_middle_each_time_and_goes_on(self, report):
        assert report.in_the_middle == KILLS
        assert (report.state, report.left) == ("finished", {})
        assert report.written >= report.sealed

    def test_no_read_and_no_write_ever_failed(self, report):
        assert report.failed == []
        assert report.reads > SECRETS / 10
        assert report.writes > 10

    def test_the_old_key_is_gone_with_a_signed_record(self, report):
        assert (list(report.versions), report.records, report.signed) == ([2], 1, True)

    def test_nothing_planted_stands_in_the_clear(self, report):
        assert report.found == []


def test_a_planted_word_is_found_where_it_stands(tmp_path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.db-wal").write_bytes(b"\x00planted-body-1\x00")
    (tmp_path / "b.log").write_bytes("planted-subject-1".encode("utf-16-le"))
    (tmp_path / "empty").touch()
    found = find_words(["planted-body-1", "planted-subject-1", "planted-no"], [tmp_path])
    assert sorted(found) == [
        f"planted-body-1 in {tmp_path / 'deep' / 'a.db-wal'}",
        f"planted-subject-1 in {tmp_path / 'b.log'}",
    ]
