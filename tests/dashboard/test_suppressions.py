"""Suppressions: found, added, taken from a file and let go of, by who may."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page


def take(screen, file: bytes):
    screen.app.file_uploader[0].set_value(("list.csv", file, "text/csv")).run()
    return screen.click("suppressions-import-send")


class TestSuppressions:
    def test_are_added_found_and_let_go_of(self, visit, platform):
        screen = visit("suppressions")
        assert [row["address"] for row in screen.rows("suppressions")] == ["Margaret@example.test"]
        screen.click("suppressions-new")
        screen.app.text_input(key="suppressions-new-address").set_value("Ada@example.test")
        screen.press("Add suppression")
        assert screen.said == "Ada@example.test is not mailed any more."
        row, _ = screen.rows("suppressions")
        assert (row["reason"], row["comment"], row["expires_at"]) == ("manual", "–", "never")
        screen.app.text_input(key="suppressions-address").set_value("bob*").run()
        assert "No suppression matches" in screen.text
        screen.app.text_input(key="suppressions-address").set_value("ADA").run()
        made, kept = platform.items("suppressions")
        screen.app.session_state["suppressions-open"] = made["id"]
        screen.app.run()
        assert "Created by First admin" in screen.text
        screen.click("suppressions-remove-start").click("suppressions-remove-yes")
        assert platform.items("suppressions") == [kept]

    def test_are_taken_from_a_file_or_not_at_all(self, visit, platform):
        screen = take(visit("suppressions"), b"a@example.test\nnobody\n")
        assert "Line 2" in screen.text
        assert len(platform.items("suppressions")) == 1
        take(screen, b"address,comment\na@example.test,=moved\nb@example.test\n")
        assert screen.said == "2 added, 0 were on the list."
        screen.click("suppressions-export-prepare")
        _, content, count, _ = screen.app.session_state["suppressions-export-file"]
        assert (count, b",import,'=moved," in content) == (3, True)

    def test_are_only_looked_at_by_a_viewer(self, visit):
        screen = visit("suppressions", person=VIC)
        assert len(screen.rows("suppressions")) == 1
        assert not screen.app.file_uploader
        assert not screen.has_button("suppressions-new")
