"""Signing keys: what signs, what still verifies, and a new one."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page


class TestSigningKeys:
    def test_are_shown_by_their_state(self, visit, platform):
        keys = platform.get("platform/signing-keys")["items"]
        rows = visit("signing_keys").rows("signing-keys")
        assert [(row["id"], row["state"]) for row in rows] == [
            (key["kid"], key["state"]) for key in keys
        ]
        assert rows[0]["until"] == "the next rotation"

    def test_are_rotated_after_one_question(self, visit, platform):
        before = platform.get("platform/signing-keys")["items"]
        screen = visit("signing_keys").click("signing-keys-rotate-start")
        assert "nobody is logged out" in screen.text
        screen.click("signing-keys-rotate-yes")
        assert screen.said.startswith("A new key signs. Older ones verify until ")
        rows = screen.rows("signing-keys")
        assert len(rows) == len(before) + 1
        assert [row["state"] for row in rows].count("active") == 1
        assert rows[0]["id"] not in {key["kid"] for key in before}

    def test_are_no_page_of_who_is_no_administrator(self, visit):
        screen = visit(person=VIC)
        titles = [link.proto.label for link in screen.app.sidebar.get("page_link")]
        assert "Signing keys" not in titles
