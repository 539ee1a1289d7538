"""Secrets: a tree, values that are shown on request alone, and folders that are open to roles."""

from __future__ import annotations

import pytest

from tests.support.factories import make_secret

pytestmark = pytest.mark.page

VALUE = "canary-4711"


def opened(visit, platform, value=None, path="mail/relay"):
    """The page of a secret, and the secret."""
    made = make_secret(platform.api(), path, value or {"user": "mailer", "password": VALUE})
    return visit("secrets", id=made["secret_id"]), made


class TestList:
    def test_is_a_tree_of_folders_without_values(self, visit):
        screen = visit("secrets")
        assert [(row["~group"], row["path"]) for row in screen.rows("secrets")] == [
            ("billing", "smtp"),
            ("billing", "stripe"),
            ("/", "warehouse"),
        ]
        assert "seeded-7c1" not in screen.markup
        screen.app.text_input(key="secrets-folder").set_value("billing").run()
        assert [row["path"] for row in screen.rows("secrets")] == ["smtp", "stripe"]

    def test_says_which_end_soon(self, visit, platform):
        make_secret(platform.api(), "billing/soon", VALUE, ttl_seconds=3600)
        state = {row["path"]: row["state"] for row in visit("secrets").rows("secrets")}
        assert state == {"smtp": "live", "soon": "ends soon", "stripe": "live", "warehouse": "live"}

    def test_shows_one_environment_and_offers_the_others(self, visit, platform):
        screen = visit("secrets")
        choice = screen.app.selectbox(key="secrets-environment")
        assert (choice.value, choice.options) == ("default", ["default"])
        for environment in ("production", "staging"):
            make_secret(platform.api(), f"of/{environment}", VALUE, environment=environment)
        screen = visit("secrets")
        choice = screen.app.selectbox(key="secrets-environment")
        assert choice.options == ["default", "production", "staging"]
        choice.set_value("staging").run()
        assert [row["path"] for row in screen.rows("secrets")] == ["staging"]
        # What was chosen and is gone meanwhile is not chosen any more.
        made = platform.items("secrets", environment="staging")[0]
        platform.api().delete(f"/api/v1/secrets/{made['id']}").raise_for_status()
        screen.app.run()
        assert screen.app.selectbox(key="secrets-environment").value == "default"
        assert len(screen.rows("secrets")) == 3

    def test_is_added_to(self, visit, platform):
        screen = visit("secrets").click("secrets-new")
        screen.app.text_input(key="secrets-new-path").set_value("a/b")
        screen.app.text_input(key="secrets-new-key").set_value("password")
        screen.app.text_input(key="secrets-new-value").set_value(VALUE)
        screen.press("Write secret")
        assert screen.said == "a/b is kept."
        assert VALUE not in screen.markup
        assert platform.get("secrets/by-path/value", path="a/b")["value"] == {"password": VALUE}


class TestSecret:
    def test_shows_a_value_after_one_question_until_it_is_put_away(self, visit, platform):
        screen, made = opened(visit, platform)
        assert VALUE not in screen.markup
        assert not platform.called("GET", "secrets/by-path/value")
        screen.click("secret-reveal-start")
        assert "The audit trail keeps that you read it." in screen.text
        assert not platform.called("GET", "secrets/by-path/value")
        screen.click("secret-reveal-yes")
        assert [block.value for block in screen.app.code] == [VALUE, "mailer"]
        screen.click("secret-value-copied")
        assert not screen.app.code
        (record,) = platform.items("audit", action="secret.value_read")
        assert record["target"] == f"secret:{made['secret_id']}"

    def test_leads_through_the_log_in_when_that_is_too_old(self, visit, platform):
        screen, _ = opened(visit, platform)
        screen.click("secret-reveal-start")
        platform.wire.fail(
            "GET", "/api/v1/secrets/by-path/value", 401, "log_in_too_old", "Log in again to do this"
        )
        screen.click("secret-reveal-yes")
        assert "Log in again to do this" in screen.text
        assert any(button.label == "Log in again" for button in screen.app.button)
        assert not screen.app.code

    def test_shows_the_difference_of_versions_by_key_with_values_masked(self, visit, platform):
        screen, _ = opened(visit, platform)
        changed = {"user": "mailer", "password": "other", "host": "h"}
        make_secret(platform.api(), "mail/relay", changed)
        screen.app.run()
        screen.click("secret-compare")
        rows = {row["key"]: row["what"] for row in screen.rows("secret-difference")}
        assert rows == {"host": "added", "password": "changed", "user": "same"}
        assert VALUE not in screen.markup
        assert not platform.called("GET", "secrets/by-path/value")

    def test_offers_versions_that_can_be_read_and_keeps_the_page_when_one_cannot(
        self, visit, platform
    ):
        screen, made = opened(visit, platform)
        for text in ("two", "three"):
            make_secret(platform.api(), "mail/relay", text)
        version = f"/api/v1/secrets/{made['secret_id']}/versions"
        platform.api().post(f"{version}/2/destroy").raise_for_status()
        screen.app.run()
        offered = screen.app.selectbox(key="secret-from").options
        assert [one.split(",")[0] for one in offered] == ["3 (live)", "1 (live)"]
        screen.click("secret-compare")
        assert screen.rows("secret-difference")
        # Gone since the page was drawn.
        platform.wire.fail(
            "GET",
            f"/api/v1/secrets/{made['secret_id']}/difference",
            410,
            "secrets.version_gone",
            "This version cannot be read any more",
        )
        screen.click("secret-compare")
        assert "This version cannot be read any more" in screen.text
        assert screen.has_button("secret-delete-start")

    def test_says_when_no_version_can_be_read(self, visit, platform):
        screen, made = opened(visit, platform)
        gone = f"/api/v1/secrets/{made['secret_id']}/versions/1"
        platform.api().delete(gone).raise_for_status()
        screen.app.run()
        assert "No version can be read" in screen.text
        assert not screen.has_button("secret-reveal-start")
        assert screen.has_button("secret-version-undelete")

    def test_is_given_another_key_or_another_text(self, visit, platform):
        screen, made = opened(visit, platform)
        screen.app.text_input(key="secret-write-key").set_value("password")
        screen.app.text_input(key="secret-write-value").set_value("new")
        screen.press("Write version")
        assert screen.said == "mail/relay has version 2."
        where = {"path": "mail/relay"}
        assert platform.get("secrets/by-path/value", **where)["value"] == {
            "user": "mailer",
            "password": "new",
        }
        screen.app.text_input(key="secret-write-value").set_value("text")
        screen.press("Write version")
        assert platform.get("secrets/by-path/value", **where)["value"] == "text"
        assert made["version"] == 1
        screen.press("Write version")
        assert screen.app.warning[0].value == "It needs a value."

    def test_is_kept_otherwise(self, visit, platform):
        screen, made = opened(visit, platform)
        screen.app.text_input(key="secret-keep-description").set_value("Of the relay")
        screen.app.number_input(key="secret-keep-days").set_value(30)
        screen.app.checkbox(key="secret-keep-cas").check()
        screen.click("secret-keep-save")
        kept = platform.get(f"secrets/{made['secret_id']}")
        assert (kept["description"], kept["ttl_seconds"]) == ("Of the relay", 30 * 86_400)
        assert (kept["cas_required"], kept["remind_seconds"]) == (True, 7 * 86_400)

    def test_versions_are_deleted_undeleted_and_destroyed(self, visit, platform):
        screen, _ = opened(visit, platform)
        screen.click("secret-version-delete-start").click("secret-version-delete-yes")
        assert screen.rows("secret-versions")[0]["state"] == "deleted"
        screen.click("secret-version-undelete")
        assert screen.rows("secret-versions")[0]["state"] == "live"
        screen.click("secret-version-destroy-start")
        assert "This cannot be undone." in screen.text
        screen.click("secret-version-destroy-yes")
        assert screen.rows("secret-versions")[0]["state"] == "destroyed"

    def test_is_deleted_after_one_question(self, visit, platform):
        screen, made = opened(visit, platform)
        screen.click("secret-delete-start")
        assert "is destroyed with all its versions and tokens" in screen.text
        screen.click("secret-delete-yes")
        assert "id" not in screen.address
        assert made["path"] not in {one["path"] for one in platform.items("secrets")}


class TestFolders:
    def test_are_opened_to_a_role_and_closed_again(self, visit, platform):
        screen = visit("secret_grants").click("secret-grants-new")
        screen.app.text_input(key="secret-grants-new-folder").set_value("billing")
        screen.app.selectbox(key="secret-grants-new-role").set_value("admin")
        screen.app.selectbox(key="secret-grants-new-access").set_value("write")
        screen.press("Add grant")
        (row,) = screen.rows("secret-grants")
        assert (row["folder"], row["environment"], row["access"]) == (
            "billing",
            "every one",
            "write",
        )
        (grant,) = platform.items("secrets/grants")
        assert (grant["role"], grant["access"]) == ("admin", "write")
