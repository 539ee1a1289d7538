"""Limits: what is used, what is set, and one set, changed and removed by the page."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page


def opened(screen, key, limit):
    screen.app.session_state[f"{key}-open"] = limit["id"]
    screen.app.run()


class TestLimits:
    def test_show_what_holds_and_what_is_used(self, visit):
        rows = visit("limits").rows("limits-usage")
        by_level = {row["level"]: row for row in rows if row["who"] == "the tenant"}
        assert by_level["Requests"]["most"] == "1000000, then 1000000 a second"
        assert by_level["Bytes"]["most"].endswith("a second")
        assert by_level["Requests at the same time"]["most"] == "500 at once"
        assert {row["who"] for row in rows} > {"the tenant", "each caller"}

    def test_sets_one_for_a_class_of_routes(self, visit, platform):
        platform.get("emails")  # a class that is in use can be chosen
        screen = visit("limits").click("limits-new")
        screen.app.selectbox(key="limits-new-who").set_value("class:emails")
        screen.app.number_input(key="limits-new-burst").set_value(40)
        screen.app.number_input(key="limits-new-refill").set_value(20)
        screen.press("Set limit")
        assert platform.called("POST", "limits")[0].body == {
            "kind": "route_class",
            "name": "emails",
            "route_class": "",
            "requests": {"burst": 40, "refill": 20, "seconds": 60},
        }
        row = screen.rows("limits")[0]
        assert row["name"] == "Requests to emails"
        assert row["requests"] == "40, then 20 a minute"
        assert row["owner"] == "tenant"

    def test_sets_one_for_a_caller_in_a_class_and_a_day(self, visit, platform):
        screen = visit("limits").click("limits-new")
        member = next(one for one in platform.items("members") if one["email"] == VIC)
        screen.app.selectbox(key="limits-new-who").set_value(f"user:{member['id']}")
        screen.app.text_input(key="limits-new-route-class").set_value("emails")
        screen.app.number_input(key="limits-new-a-day").set_value(500)
        screen.press("Set limit")
        rate = {"burst": 100, "refill": 100, "seconds": 60}
        day = {"burst": 500, "refill": 500, "seconds": 86_400}
        assert platform.called("POST", "limits")[0].body == {
            "kind": "user",
            "name": member["id"],
            "route_class": "emails",
            "requests": rate,
            "sustained": day,
        }
        row = screen.rows("limits")[0]
        assert (row["name"], row["sustained"]) == (
            f"{member['name']} at emails",
            "500, then 500 a day",
        )
        (limit,) = platform.items("limits")
        for most, kept in ((None, day), (70, day | {"burst": 70, "refill": 70}), (0, None)):
            opened(screen, "limits", limit)
            if most is not None:
                screen.app.number_input(key=f"limits-sustained-{limit['id']}").set_value(most)
            screen.press("Change limit")
            changed = platform.items("limits")[0]
            assert (changed["requests"], changed["sustained"]) == (rate, kept)

    def test_limits_somebody_by_name(self, visit, platform):
        screen = visit("limits").click("limits-new")
        member = next(one for one in platform.items("members") if one["email"] == VIC)
        screen.app.selectbox(key="limits-new-who").set_value(f"user:{member['id']}")
        screen.press("Set limit")
        made = platform.items("limits")[0]
        assert (made["kind"], made["name"]) == ("user", member["id"])
        assert screen.rows("limits")[0]["name"] == member["name"]

    def test_says_what_is_wrong_with_one(self, visit, platform):
        screen = visit("limits").click("limits-new")
        platform.wire.fail("POST", "/api/v1/limits", 422, "gateway.limit_invalid", "No such limit")
        screen.press("Set limit")
        assert "Code gateway.limit_invalid" in screen.text

    def test_changes_an_opened_one_and_removes_it(self, visit, platform):
        screen = visit("limits").click("limits-new")
        screen.press("Set limit")
        (limit,) = platform.items("limits")
        opened(screen, "limits", limit)
        screen.app.number_input(key=f"limits-burst-{limit['id']}").set_value(77)
        screen.press("Change limit")
        assert platform.items("limits")[0]["requests"]["burst"] == 77
        opened(screen, "limits", limit)
        screen.click("limits-remove-start").click("limits-remove-yes")
        assert platform.items("limits") == []


class TestPlatformLimits:
    def test_limits_every_tenant_and_lets_go(self, visit, platform):
        screen = visit("platform_limits").click("platform-limits-new")
        screen.app.number_input(key="platform-limits-new-burst").set_value(3000)
        screen.press("Set limit")
        row = screen.rows("platform-limits")[0]
        assert (row["name"], row["tenant_id"]) == ("The tenant", "every tenant")
        assert row["requests"] == "3000, then 2000 a second"
        assert row["concurrency"] == "500"

    def test_says_what_a_request_of_a_class_costs(self, visit, platform):
        screen = visit("platform_limits").click("platform-limits-new")
        screen.app.text_input(key="platform-limits-new-route-class").set_value("emails")
        screen.app.number_input(key="platform-limits-new-cost").set_value(5)
        screen.press("Set limit")
        body = platform.called("POST", "platform/limits")[0].body
        assert (body["kind"], body["name"], body["cost"]) == ("route_class", "emails", 5)
        assert "concurrency" not in body
        assert screen.rows("platform-limits")[0]["name"] == "Requests to emails"

    def test_are_shown_as_a_tenant_has_and_uses_them(self, visit, platform):
        screen = visit("platform_limits")
        (tenant,) = [one for one in platform.items("platform/tenants") if one["slug"] == "demo"]
        of = screen.app.selectbox(key="platform-limits-of")
        assert of.value == ""
        of.set_value(tenant["id"])
        screen.app.run()
        levels = {row["level"]: row for row in screen.rows("platform-limits-usage")}
        assert levels["Requests at the same time"]["most"] == "500 at once"
        assert platform.called("GET", "platform/limit-usage")[-1].query == {
            "tenant_id": tenant["id"]
        }

    def test_are_changed_where_the_platform_set_them(self, visit, platform):
        screen = visit("platform_limits").click("platform-limits-new").press("Set limit")
        (limit,) = platform.items("platform/limits")
        opened(screen, "platform-limits", limit)
        for name, value in (("burst", 70), ("sustained", 900), ("concurrency", 0)):
            screen.app.number_input(key=f"platform-limits-{name}-{limit['id']}").set_value(value)
        screen.press("Change limit")
        (changed,) = platform.items("platform/limits")
        assert changed["requests"] == {"burst": 70, "refill": 2000, "seconds": 1}
        assert changed["sustained"] == {"burst": 900, "refill": 900, "seconds": 86_400}
        assert changed["concurrency"] is None

    def test_what_one_of_a_class_counts_for_is_changed(self, visit, platform):
        screen = visit("platform_limits").click("platform-limits-new")
        screen.app.text_input(key="platform-limits-new-route-class").set_value("emails")
        screen.press("Set limit")
        (limit,) = platform.items("platform/limits")
        opened(screen, "platform-limits", limit)
        screen.app.number_input(key=f"platform-limits-cost-{limit['id']}").set_value(3)
        screen.press("Change limit")
        assert platform.items("platform/limits")[0]["cost"] == 3
