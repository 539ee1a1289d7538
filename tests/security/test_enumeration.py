"""Nobody learns who is known here, by what it costs to find out.

Counted is work: statements by kind, password hashes, digests of secrets. Seeded draws of attempts
on somebody known and on nobody, in random order and from random addresses, have to cost the same,
the first time and when they are repeated. What is not counted may take time too, so a clock is
asked as well: of pairs, one on somebody known and one on nobody in random order right after each
other, the one is slower about as often as the other. How slow the machine is does not matter.
"""

import random
import time
from collections import Counter
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from backend.core.context import SystemScope
from backend.kit import credentials
from backend.managers.tenant import hash_password
from backend.managers.tenant.models import UserRow
from backend.settings import Settings
from tests.support.access import unlimited
from tests.support.errands import EVERYTHING
from tests.support.invitations import hidden_fields
from tests.support.own_work import own_work

pytestmark = pytest.mark.attack


@contextmanager
def counting(app, monkeypatch):
    """What is done while the block lasts."""
    done: Counter[str] = Counter()
    engine = app.platform.database.engine.sync_engine

    def statement(_connection, _cursor, text, *_):
        if mine():
            done[text.split(None, 1)[0].upper()] += 1

    class Counted:
        @staticmethod
        def verify_phc_encoded(*arguments):
            done["argon2"] += 1
            Argon2id.verify_phc_encoded(*arguments)

    real = credentials.digest_of

    def digest(text):
        done["sha256"] += 1
        return real(text)

    sa.event.listen(engine, "before_cursor_execute", statement)
    try:
        with monkeypatch.context() as patch, own_work() as mine:
            patch.setattr("backend.managers.identity._password.Argon2id", Counted)
            patch.setattr(credentials, "digest_of", digest)
            yield done
    finally:
        sa.event.remove(engine, "before_cursor_execute", statement)


async def compare(pairs, attempt):
    """The pairs whose two sides did not cost the same, the first or the second time."""
    rng = random.Random(7)
    costs: dict[str, list[Counter[str]]] = {}
    for known, unknown in pairs:
        address = f"192.0.2.{rng.randrange(1, 255)}"
        for _ in range(2):
            for one in rng.sample([known, unknown], 2):
                costs.setdefault(one, []).append(await attempt(one, address))
    differ = {known: (costs[known], costs[unknown]) for known, unknown in pairs}
    return {one: both for one, both in differ.items() if both[0] != both[1]}, costs


async def test_a_failed_client_authentication_costs_the_same(app, monkeypatch):
    owner, http = await app.caller("owner"), app.client()

    async def attempt(client_id, _):
        with counting(app, monkeypatch) as done:
            answer = await http.post(
                "/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(client_id, "es_secret_not_it"),
            )
        assert answer.status_code == 401, answer.text
        return done

    pairs = []
    for number in range(10):
        made = await owner.http.post("/api/v1/clients", json={"name": "n", "role": "viewer"})
        pairs.append((made.json()["client_id"], f"es_{number:032x}"))
    await attempt("es_first", "")
    differ, costs = await compare(pairs, attempt)
    assert differ == {}
    assert {each["sha256"] for both in costs.values() for each in both} == {1}


async def test_asking_for_a_new_password_costs_and_says_the_same(app, people, monkeypatch):
    browser = app.client()
    form = hidden_fields((await browser.get("/oauth/password-reset")).text)
    said = set()

    async def attempt(email, _):
        with counting(app, monkeypatch) as done:
            answer = await browser.post("/oauth/password-reset", data={**form, "email": email})
        assert answer.status_code == 200, answer.text
        said.add(answer.text)
        return done

    pairs = []
    for number in range(10):
        known = await people.person(f"known{number}@example.test")
        pairs.append((known.email, f"nobody{number}@example.test"))
    await attempt("first@example.test", "")
    differ, _ = await compare(pairs, attempt)
    assert differ == {}
    assert len(said) == 1


PAIRS = 80
FAR = 21
"""So far from half of the pairs is a fair coin in less than one of 300 000 runs; the failures of
a client that was known were slower in nearly all pairs once."""


class TestTime:
    @pytest.fixture
    def app_settings(self, app_settings: Settings) -> Settings:
        """Nobody is turned away: that is another answer, and another time."""
        much = {
            f"{whose}_{what}": 1_000_000
            for whose in ("account", "address")
            for what in ("burst_failures", "failures_per_minute")
        }
        identity = app_settings.identity.model_copy(update=much)
        return unlimited(app_settings).model_copy(update={"identity": identity})

    async def slower(self, pairs, attempt):
        """In how many pairs it took longer with somebody who is known."""
        rng, slower = random.Random(11), 0
        for pair in pairs:
            took = {}
            for one in rng.sample(pair, 2):
                began = time.perf_counter()
                await attempt(one)
                took[one] = time.perf_counter() - began
            known, unknown = pair
            slower += took[known] > took[unknown]
        return slower

    async def test_of_a_log_in_that_fails_for_the_first_time(self, app, people):
        browser = app.client()
        return_to = "/oauth/invitation?token=none"
        page = await browser.get("/oauth/login", params={"return_to": return_to})
        form = {**hidden_fields(page.text), "password": "wrong"}

        async def attempt(email):
            answer = await browser.post("/oauth/login", data={**form, "email": email})
            assert answer.status_code == 401

        pairs = [
            ((await people.person(f"known{n}@example.test")).email, f"nobody{n}@example.test")
            for n in range(PAIRS)
        ]
        # Theirs costs what one does: that of the other tests costs nothing.
        hashed = hash_password("a password of their own")
        async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(sa.update(UserRow).values(password_hash=hashed))
        await attempt("first@example.test")
        assert abs(await self.slower(pairs, attempt) - PAIRS / 2) < FAR

    async def test_of_a_client_that_fails_for_the_first_time(self, app):
        owner, http = await app.caller("owner"), app.client()

        async def attempt(client_id):
            answer = await http.post(
                "/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(client_id, "es_secret_not_it"),
            )
            assert answer.status_code == 401

        pairs = []
        for number in range(PAIRS):
            body = {"name": "n", "role": "viewer"}
            made = await owner.http.post("/api/v1/clients", json=body)
            pairs.append((made.json()["client_id"], f"es_{number:032x}"))
        await attempt("es_first")
        assert abs(await self.slower(pairs, attempt) - PAIRS / 2) < FAR
