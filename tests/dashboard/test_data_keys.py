"""Data keys: their versions, a rotation, and the walk that seals anew, paused and let go on."""

from __future__ import annotations

import pytest

from dashboard.client import models
from dashboard.views import data_keys
from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page


class TestDataKeys:
    def test_shows_the_versions_and_rotates_after_one_question(self, visit, platform):
        before = platform.get("data-keys")["items"]
        rows = visit("data_keys").rows("data-keys")
        assert [(row["version"], row["state"]) for row in rows] == [
            (str(one["version"]), one["state"]) for one in before
        ]
        screen = visit("data_keys")
        assert "Nothing was sealed anew with a newer version so far." in screen.text
        screen.click("data-keys-rotate-start")
        assert "Nothing stops meanwhile." in screen.text
        screen.click("data-keys-rotate-yes")
        assert screen.said.startswith(f"Version {len(before) + 1} seals from ")
        rows = screen.rows("data-keys")
        assert [row["state"] for row in rows] == ["current", "pending"]
        assert "Everything comes under version 2. It goes on at " in screen.text
        assert "Waits until" in screen.text

    def test_pauses_goes_on_and_cancels(self, visit, platform):
        screen = visit("data_keys").click("rewrap-start")
        (walk,) = platform.get("rewraps")["items"]
        assert walk["state"] == "running"
        screen.click("rewrap-pause")
        assert platform.get("rewraps")["items"][0]["state"] == "paused"
        assert "waits for somebody to let it go on" in screen.text
        screen.click("rewrap-resume")
        assert platform.get("rewraps")["items"][0]["state"] == "running"
        screen.click("rewrap-cancel-start")
        assert "What is sealed anew stays so." in screen.text
        screen.click("rewrap-cancel-yes")
        assert platform.get("rewraps")["items"][0]["state"] == "cancelled"
        assert screen.has_button("rewrap-start")

    def test_is_no_page_of_who_only_looks_on(self, visit):
        screen = visit(person=VIC)
        titles = [link.proto.label for link in screen.app.sidebar.get("page_link")]
        assert "Data keys" not in titles

    def test_shows_progress_and_records(self, visit, platform):
        """What a worker would have done by now, told by answers of ours."""
        walk = platform.api().post("/api/v1/rewraps").json()
        gone_on = {
            "seen": 30,
            "total": 120,
            "written": 25,
            "column": "email_contents.sealed_content",
            "seconds_left": 90.0,
            "broken": 2,
            "left": {"1": 3},
            "finished_at": walk["started_at"],
        }
        record = {
            "id": walk["id"],
            "version": 1,
            "retired_at": walk["started_at"],
            "statement": '{"left":0,"rows_looked_at":1234}',
            "signature": "c2ln",
            "key_id": "0123456789abcdef",
        }
        for path, items in (("rewraps", [walk | gone_on]), ("data-keys/retirements", [record])):
            platform.wire.alter(
                "GET", f"/api/v1/{path}", lambda was, items=items: was | {"items": items}
            )
        screen = visit("data_keys")
        for words in (
            "email_contents.sealed_content",
            "90 s left of this round",
            "Do not open",
            "Ended",
        ):
            assert words in screen.text, words
        (row,) = screen.rows("data-key-retirements")
        assert (row["counted"], row["key_id"]) == ("1,234", record["key_id"])
        key = platform.get("data-keys/retirement-key")
        assert screen.app.code[0].value == key["public_key"]
        (handed,) = screen.app.get("download_button")
        assert handed.proto.label == "Download the records"


def key(version: int, state: str) -> models.DataKeyVersionOut:
    return models.DataKeyVersionOut(
        id="k",
        version=version,
        state=state,
        created_at=None,  # type: ignore[arg-type]
        seals_from=None,  # type: ignore[arg-type]
        due_at=None,
        left=None,
    )


@pytest.mark.parametrize(
    ("keys", "tone"),
    [
        ([], "gray"),
        ([key(1, "current")], "green"),
        ([key(1, "old"), key(2, "current")], "amber"),
    ],
)
def test_the_verdict_without_a_walk(keys, tone):
    assert data_keys.verdict(keys, None)[0] == tone
