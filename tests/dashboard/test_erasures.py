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
        assert screen.said == f"{made['subject']} is erased: the certificate is below."
        assert [row["subject"] for row in screen.rows("erasures")] == [made["subject"]]
        listed = platform.items("suppressions")
        assert "grace@example.test" not in {one["address"] for one in listed}

    def test_nobody_in_particular_is_refused_in_words(self, visit, platform):
        screen = visit("erasures").click("erase-start").click("erase-yes")
        assert "Give a user's id, an address, or both" in screen.text
        assert platform.items("subjects/erasures") == []

    def test_who_may_not_has_no_such_page(self, visit):
        assert not visit("overview", VIC).has_button("erase-start")
