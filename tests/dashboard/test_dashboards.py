"""Dashboards: the list, one with its panels, time and variables in the address, the form, files."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from dashboard.widgets import charts, export, panels
from dashboard.widgets.panels import Csv, Look, Panel
from tests.dashboard.conftest import VIC
from tests.support.factories import make_trace

pytestmark = pytest.mark.page

ORDERS = {
    "name": "Orders",
    "description": "What the shops sell.",
    "variables": [
        {"name": "shop", "values": ["berlin", "lima"], "default": "lima"},
        {"name": "words", "default": "order"},
    ],
    "panels": [
        {
            "title": "Orders of ${shop}",
            "width": 6,
            "metric": {"name": "orders_total", "aggregate": "sum", "label": ["shop=${shop}"]},
        },
        {"title": "About", "column": 6, "width": 6, "text": {"markdown": "Sold in **${shop}**"}},
        {"title": "Lines", "row": 1, "logs": {"show": "lines", "words": "${words}"}},
    ],
    "range_minutes": 60,
}


@pytest.fixture
def orders(platform):
    """A dashboard of the tenant over what two shops have sold; its id."""
    http = platform.api()
    items = [
        {"name": "orders_total", "kind": "counter", "value": sold, "labels": {"shop": shop}}
        for shop, sold in (("berlin", 7), ("lima", 3))
    ]
    http.post("/api/v1/metrics", json={"items": items}).raise_for_status()
    platform.tick("metrics.fold")
    answer = http.post("/api/v1/dashboards", json=ORDERS)
    answer.raise_for_status()
    return answer.json()["id"]


def asked(platform, path):
    return platform.called("GET", path)[-1].query


class TestList:
    def test_shows_those_that_are_kept_and_those_that_ship(self, visit, platform, orders):
        own = {**ORDERS, "name": "Mine", "visibility": "person"}
        platform.give_role(VIC, "operator")
        platform.api(VIC).post("/api/v1/dashboards", json=own).raise_for_status()
        screen = visit("dashboards")
        (row,) = screen.rows("dashboards")
        assert (row["name"], row["sees"], row["panels"]) == ("Orders", "The tenant", "3")
        shipped = screen.rows("dashboards-shipped")
        assert len(shipped) == 10
        assert shipped[0]["name"] == "Mail delivery"

    def test_shows_the_platforms_to_its_administrators(self, visit, platform):
        platform.api().post("/api/v1/platform/dashboards", json=ORDERS).raise_for_status()
        (row,) = visit("dashboards").rows("dashboards")
        assert row["sees"] == "The platform"
        assert "No dashboard yet" in visit("dashboards", person=VIC).text

    def test_offers_no_change_to_who_may_only_look(self, visit, orders):
        screen = visit("dashboards", person=VIC)
        assert not screen.has_button("dashboards-new")
        screen = visit("dashboards", person=VIC, dashboard=orders)
        assert "Orders of lima" in screen.text
        assert not screen.has_button("dashboards-edit")


class TestShow:
    def test_each_panel_asks_with_the_variables(self, visit, platform, orders):
        screen = visit("dashboards", dashboard=orders)
        assert "Orders of lima" in screen.text
        assert any("Sold in **lima**" in one.value for one in screen.app.markdown)
        query = asked(platform, "metrics/query")
        assert (query["label"], query["points"]) == ("shop=lima", "1000")
        since, until = (datetime.fromisoformat(query[one]) for one in ("since", "until"))
        assert until - since == timedelta(hours=1)
        assert asked(platform, "logs")["words"] == "order"
        (chart,) = screen.app.get("plotly_chart")
        drawn = json.loads(chart.proto.spec)["data"]
        assert [max(one for one in line["y"] if one is not None) for line in drawn] == [3]

    def test_the_address_says_time_and_variables(self, visit, platform, orders):
        more = {"range": "1440", "var-shop": "berlin", "var-words": "paid"}
        screen = visit("dashboards", dashboard=orders, **more)
        assert "Orders of berlin" in screen.text
        assert screen.address == {"tenant": screen.address["tenant"], "dashboard": orders, **more}
        assert asked(platform, "metrics/query")["label"] == "shop=berlin"
        screen.app.selectbox(key="dashboard-range-1440").select(360).run()
        screen.app.selectbox(key="dashboard-var-shop-berlin").select("lima").run()
        assert (screen.address["range"], screen.address["var-shop"]) == ("360", "lima")
        assert asked(platform, "metrics/query")["label"] == "shop=lima"

    def test_a_stretch_that_was_drawn_over_is_asked_anew(self, visit, platform, orders):
        screen = visit("dashboards", dashboard=orders)
        last = datetime.now(UTC).replace(microsecond=0)
        first = last - timedelta(minutes=7)
        screen.app.session_state[panels.ZOOM] = (first, last)
        screen.app.run()
        query = asked(platform, "metrics/query")
        assert [datetime.fromisoformat(query[one]) for one in ("since", "until")] == [first, last]
        assert screen.address["from"] == first.isoformat()
        screen.click("dashboards-wider")
        assert "from" not in screen.address

    def test_a_panel_that_fails_says_so_and_leaves_the_others(self, visit, platform, orders):
        platform.wire.fail("GET", "/api/v1/metrics/query", 503, "unavailable", "Try again later")
        screen = visit("dashboards", dashboard=orders)
        assert screen.markup.count('class="es-problem"') == 1
        assert any("Sold in **lima**" in one.value for one in screen.app.markdown)
        assert "Lines" in screen.text

    def test_what_is_not_there_is_told(self, visit):
        gone = "0199c0de-0000-7000-8000-000000000000"
        assert "No such dashboard" in visit("dashboards", dashboard=gone).text
        assert "es-problem" in visit("dashboards", template="none").markup


class TestShipped:
    def test_each_is_drawn_without_a_problem(self, visit, platform):
        make_trace(platform.api(), failed=True)
        platform.keep_spans()
        for one in platform.get("dashboard-templates")["items"]:
            screen = visit("dashboards", template=one["key"])
            assert one["name"] in screen.text
            assert "es-problem" not in screen.markup, one["key"]
            assert "does not know what this panel" not in screen.text
            assert not screen.app.exception
            for panel in one["panels"]:
                title = panel["title"].replace("${level}", "warn")
                assert title in screen.text, (one["key"], title)

    def test_is_copied_by_the_form(self, visit, platform):
        screen = visit("dashboards", template="usage")
        screen.click("dashboards-copy")
        assert screen.app.text_input(key="board-1-name").value == "Usage, copy"
        screen.click("dashboards-save")
        assert screen.said == "The dashboard is saved."
        (made,) = platform.items("dashboards")
        assert (made["name"], made["panel_count"], made["visibility"]) == (
            "Usage, copy",
            4,
            "tenant",
        )
        assert screen.address["dashboard"] == made["id"]


class TestForm:
    def test_makes_one_of_added_panels(self, visit, platform):
        screen = visit("dashboards")
        screen.click("dashboards-new")
        screen.app.text_input(key="board-1-name").set_value("Errors").run()
        screen.app.text_area(key="board-1-variables").set_value("shop = berlin, lima").run()
        screen.app.selectbox(key="board-1-source").select("logs").run()
        screen.click("board-1-add")
        screen.app.text_input(key="board-2-0-level").set_value("error").run()
        screen.app.selectbox(key="board-2-source").select("text").run()
        screen.click("board-2-add")
        screen.click("board-3-1-up")
        screen.app.selectbox(key="dashboards-sees").select("person").run()
        screen.click("dashboards-save")
        assert screen.said == "The dashboard is saved."
        (listed,) = platform.items("dashboards")
        made = platform.get(f"dashboards/{listed['id']}")
        assert (made["name"], made["visibility"]) == ("Errors", "person")
        shop = {"name": "shop", "values": ["berlin", "lima"], "default": "berlin"}
        assert made["variables"] == [shop]
        assert [one["title"] for one in made["panels"]] == ["Text", "Logs"]
        assert [one["row"] for one in made["panels"]] == [0, 1]
        assert made["panels"][1]["logs"]["level"] == "error"

    def test_changes_and_removes_panels(self, visit, platform, orders):
        screen = visit("dashboards", dashboard=orders)
        screen.click("dashboards-edit")
        screen.app.text_input(key="board-1-0-title").set_value("Sold").run()
        screen.app.number_input(key="board-1-0-width").set_value(3).run()
        screen.click("board-1-2-remove")
        screen.click("dashboards-save")
        made = platform.get(f"dashboards/{orders}")
        assert [one["title"] for one in made["panels"]] == ["Sold", "About"]
        assert (made["panels"][0]["width"], made["version"]) == (3, 2)
        assert made["panels"][0]["metric"]["label"] == ["shop=${shop}"]

    def test_overwrites_nothing_that_was_not_seen(self, visit, platform, orders):
        screen = visit("dashboards", dashboard=orders)
        screen.click("dashboards-edit")
        put = platform.api().put(f"/api/v1/dashboards/{orders}", json={**ORDERS, "name": "Others"})
        put.raise_for_status()
        screen.click("dashboards-save")
        assert "changed meanwhile" in screen.text
        assert platform.get(f"dashboards/{orders}")["name"] == "Others"

    def test_says_what_is_wrong_with_a_variable(self, visit):
        screen = visit("dashboards")
        screen.click("dashboards-new")
        screen.app.text_area(key="board-1-variables").set_value("Shop! = x").run()
        assert "A variable is a line like" in screen.text
        assert screen.app.button(key="dashboards-save").disabled

    def test_deletes_after_a_question(self, visit, platform, orders):
        screen = visit("dashboards", dashboard=orders)
        screen.click("dashboards-delete-start")
        screen.click("dashboards-delete-yes")
        assert screen.said == "The dashboard is deleted."
        assert platform.items("dashboards") == []

    def test_brings_back_what_it_was(self, visit, platform, orders):
        platform.api().put(f"/api/v1/dashboards/{orders}", json={**ORDERS, "panels": []})
        screen = visit("dashboards", dashboard=orders)
        assert "Nothing on it yet" in screen.text
        screen.app.selectbox(key="dashboards-version").select(1).run()
        screen.click("dashboards-restore")
        assert "again what it was at version 1" in screen.said
        assert "Orders of lima" in screen.text


class TestLook:
    def test_fills_in_what_is_chosen(self):
        look = Look(60, values={"shop": 'ber"lin'})
        assert look.fill("${shop} $x ${other}.") == 'ber"lin $x .'
        assert look.fill('{shop="${shop}"}', panels._quoted) == '{shop="ber\\"lin"}'

    def test_asks_no_more_for_what_is_over(self):
        now = datetime.now(UTC)
        assert Look(60).refresh_seconds == 15
        assert Look(90 * 1440).refresh_seconds == 300
        assert Look(60, now - timedelta(hours=1), now).refresh_seconds > 3600

    def test_an_empty_variable_asks_for_nothing(self):
        panel = Panel("k", "t", 4, {"workflow_id": "${id}"}, Look(60, values={"id": ""}))
        assert panel.text("workflow_id") is None
        assert panel.text("service") is None

    def test_a_missing_step_is_a_gap(self):
        assert panels._whole([0.0, 10.0, 40.0], 10) == [0.0, 10.0, 20.0, 40.0]
        assert [panels._finite(one) for one in ("1.5", "NaN", "+Inf", None)] == [
            1.5,
            None,
            None,
            None,
        ]

    def test_a_long_curve_is_thinned_in_the_picture_and_whole_in_the_file(self):
        times = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=at) for at in range(9000)]
        values = [float(at % 97) for at in range(9000)]
        values[4321] = 1e6
        drawn = charts._curve("x", times, values, "#1FA97A")
        assert len(drawn.x) <= charts.MAX_POINTS
        assert max(drawn.y) == 1e6
        file = Csv(
            ["at", "x"], [[at.isoformat(), one] for at, one in zip(times, values, strict=True)]
        )
        written = export.to_csv(file.names, file.rows).decode()
        assert len(list(csv.reader(io.StringIO(written)))) == 9001
