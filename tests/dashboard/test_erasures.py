"""Erased people: one question, the certificate, and what refuses."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page


class TestErasures:
    def test_erases_after_one_question_and_shows_the_certificate(self, visit, platform):
        http = platform.api()
        held = {"address": "grace@example.test", "comment": "asked on the phone"}
        http.post("/api/v1/suppressions", json=held).raise_for_status()
        screen = visit("erasures")
        assert "Whoever asks to be forgotten" in screen.text
        screen.app.text_input(key="erase-address").set_value("grace@example.test")
        screen.click("erase-start")
        assert "Nobody can undo it." in screen.text
        assert platform.items("subjects/erasures") == []
        screen.click("erase-yes")
        (made,) = platform.items("subjects/erasures")
        said = "is being erased: the certificate comes when nothing is left."
        assert screen.said == f"{made['subject']} {said}"
        (row,) = screen.rows("erasures")
        assert (row["subject"], row["state"]) == (made["subject"], "running")
        assert "Being erased" in screen.text
        assert "Round 1." in screen.text
        # A worker's turn: what there is goes, and it looks once more when all is written.
        platform.tick("compliance.erase")
        screen = visit("erasures")
        assert "Settling" in screen.text
        (made,) = platform.items("subjects/erasures")
        assert made["rewritten"] >= 1
        assert f"{made['rewritten']} rows" in screen.text
        listed = platform.items("suppressions")
        assert "grace@example.test" not in {one["address"] for one in listed}

    def test_shows_what_it_waits_for_and_the_end(self, visit, platform):
        http = platform.api()
        mail = {"to": ["grace@example.test"], "subject": "Hello", "text": "Hello"}
        made = http.post("/api/v1/subjects/erase", json={"address": "grace@example.test"})
        made.raise_for_status()
        sent = http.post("/api/v1/emails", json=mail)
        sent.raise_for_status()
        platform.tick("compliance.erase")
        screen = visit("erasures")
        assert "1 message(s) to them are not settled" in screen.text
        job_id = sent.json()["job_id"]
        http.post(f"/api/v1/jobs/{job_id}/cancel").raise_for_status()

    def test_nobody_in_particular_is_refused_in_words(self, visit, platform):
        screen = visit("erasures").click("erase-start").click("erase-yes")
        assert "Give a user's id, an address, or both" in screen.text
        assert platform.items("subjects/erasures") == []

    def test_who_may_not_has_no_such_page(self, visit):
        assert not visit("overview", VIC).has_button("erase-start")
