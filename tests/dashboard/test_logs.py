"""Logs: what the address says is looked for, found, counted, opened, followed, and what is kept."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from dashboard.widgets import charts, markup
from tests.dashboard.conftest import ADA, VIC
from tests.support.factories import make_api_key, make_logs, make_trace

pytestmark = pytest.mark.page

TRACE = "4bf92f35" * 4
PAYMENT = {
    "log.level": "error",
    "service.name": "shop",
    "message": "payment failed: card declined",
    "trace.id": TRACE,
    "http.request.id": "req-7",
    "workflow.id": "w-1",
    "execution.id": "4711",
    "order": {"id": 42},
}


def said(platform, *lines):
    return make_logs(platform.api(), lines)


def some(platform):
    """A shop's day: what it said, the newest last."""
    now = datetime.now(UTC)

    def at(minutes):
        return (now - timedelta(minutes=minutes)).isoformat()

    said(
        platform,
        {"@timestamp": at(26 * 60), "message": "started yesterday", "service.name": "shop"},
        {"@timestamp": at(9), "message": "order taken", "service.name": "shop"},
        {"@timestamp": at(8), "message": "stock is low", "level": "warn", "service.name": "store"},
        {"@timestamp": at(7), **PAYMENT},
        {"@timestamp": at(6), "message": "order shipped", "service.name": "shop"},
        {"@timestamp": at(5), "message": "nobody's line", "level": "debug"},
    )


def messages(screen, key="logs"):
    return [row["message"] for row in screen.rows(key)]


def payment(platform):
    (found,) = platform.items("logs", words="payment")
    return found


def asked(platform):
    return platform.called("GET", "logs")[-1].query


class TestAddress:
    def test_says_what_is_looked_for(self, visit, platform):
        some(platform)
        screen = visit("logs", words="order", source="shop", level="info", range="24h")
        assert messages(screen) == ["order shipped", "order taken"]
        app = screen.app
        assert app.text_input(key="logs-words").value == "order"
        assert app.selectbox(key="logs-range").value == "24h"
        assert app.selectbox(key="logs-level").value == "info"
        query = asked(platform)
        assert query.pop("after") < (datetime.now(UTC) - timedelta(hours=23)).isoformat()
        assert query == {"words": "order", "source": "shop", "level": "info", "limit": "50"}

    def test_is_said_by_what_is_chosen(self, visit, platform):
        some(platform)
        screen = visit("logs")
        assert screen.address == {"tenant": "demo"}
        screen.app.text_input(key="logs-words").set_value("payment").run()
        screen.app.selectbox(key="logs-level").set_value("error").run()
        screen.app.selectbox(key="logs-range").set_value("7d").run()
        screen.app.text_input(key="logs-execution_id").set_value("4711").run()
        assert screen.address == {
            "tenant": "demo",
            "words": "payment",
            "level": "error",
            "range": "7d",
            "execution_id": "4711",
        }
        shown = visit("logs", **{k: v for k, v in screen.address.items() if k != "tenant"})
        assert messages(shown) == messages(screen) == ["payment failed: card declined"]

    def test_is_followed_when_it_changes(self, visit, platform):
        some(platform)
        screen = visit("logs", words="payment")
        screen.app.query_params["words"] = "shipped"
        screen.app.run()
        assert messages(screen) == ["order shipped"]
        assert screen.app.text_input(key="logs-words").value == "shipped"

    def test_is_kept_for_who_comes_back(self, visit, platform):
        some(platform)
        screen = visit("logs", words="payment")
        screen.app.switch_page("views/jobs.py").run()
        screen.app.query_params.clear()
        screen.app.switch_page("views/logs.py").run()
        assert screen.address == {"tenant": "demo", "words": "payment"}
        assert messages(screen) == ["payment failed: card declined"]

    def test_has_a_stretch_to_the_second(self, visit, platform):
        some(platform)
        line = payment(platform)
        at = datetime.fromisoformat(line["at"]).replace(microsecond=0)
        times = {"after": at, "before": at + timedelta(seconds=1)}
        wanted = {name: one.isoformat().replace("+00:00", "Z") for name, one in times.items()}
        screen = visit("logs", **wanted)
        assert messages(screen) == [line["message"]]
        assert screen.app.selectbox(key="logs-range").value == "own"
        assert screen.app.text_input(key="logs-after").value == f"{at:%Y-%m-%d %H:%M:%S}"
        assert {name: screen.address[name] for name in times} == wanted

    def test_that_says_nonsense_looks_for_the_usual(self, visit, platform):
        some(platform)
        screen = visit("logs", level="loud", range="soon")
        assert len(messages(screen)) == 5
        assert "level" not in asked(platform)

    def test_that_says_no_time_is_told_so_and_asks_nothing(self, visit, platform):
        screen = visit("logs", after="yesterday")
        assert "'yesterday' is no time" in screen.text
        assert not platform.called("GET", "logs")


class TestFound:
    def test_counts_by_level_and_source_which_narrow(self, visit, platform):
        some(platform)
        screen = visit("logs")
        options = screen.app.pills(key="logs-level-pills").options
        assert options == ["error · 1", "warn · 1", "info · 2", "debug · 1"]
        assert screen.app.pills(key="logs-source-pills").options == ["shop · 3", "store · 1"]
        assert "1 name no source." in screen.text
        screen.app.pills(key="logs-source-pills").set_value("store").run()
        assert messages(screen) == ["stock is low"]
        assert screen.address["source"] == "store"
        screen.app.pills(key="logs-level-pills").set_value("warn").run()
        assert screen.address["level"] == "warn"

    def test_of_any_time_are_counted_as_long_as_they_are_kept(self, visit, platform):
        some(platform)
        screen = visit("logs", range="any")
        assert len(messages(screen)) == 6
        since = datetime.fromisoformat(platform.called("GET", "logs/summary")[-1].query["after"])
        assert (datetime.now(UTC) - since).days == platform.get("log-settings")["keep_days"]

    def test_goes_on_page_by_page(self, visit, platform):
        said(platform, *({"message": f"line {number}"} for number in range(60)))
        screen = visit("logs")
        assert messages(screen)[0] == "line 59"
        assert "Page 1, 50 shown." in screen.text
        screen.click("logs-older")
        assert messages(screen) == [f"line {number}" for number in range(9, -1, -1)]

    def test_says_of_a_short_page_that_it_goes_on(self, visit, platform):
        some(platform)

        def short(found):
            return {**found, "items": found["items"][:1], "next_cursor": "b25l"}

        platform.wire.alter("GET", "/api/v1/logs", short)
        screen = visit("logs")
        assert "This page is short" in screen.text
        assert screen.has_button("logs-older")
        of_none = {"items": [], "next_cursor": "b25l"}
        platform.wire.alter("GET", "/api/v1/logs", lambda found: {**found, **of_none})
        screen.app.run()
        assert "None so far" in screen.text
        assert "No line matches" not in screen.text

    def test_says_where_none_matches(self, visit, platform):
        some(platform)
        assert "No line matches" in visit("logs", words="nowhere").text

    def test_stays_below_the_reason_when_asking_fails(self, visit, platform):
        some(platform)
        screen = visit("logs", words="payment")
        platform.wire.fail("GET", "/api/v1/logs", 503, "unavailable", "Not now")
        screen.app.run()
        assert "Not now" in screen.text
        assert "Below is what was found before" in screen.text
        assert messages(screen) == ["payment failed: card declined"]

    def test_shows_what_the_words_lack(self, visit, platform):
        some(platform)
        screen = visit("logs", words="...")
        assert "Code logging.search_invalid" in screen.text

    def test_is_saved_as_a_file_whole(self, visit, platform):
        some(platform)
        screen = visit("logs").click("logs-export-prepare")
        _, content, count, _ = screen.app.session_state["logs-export-file"]
        assert count == 5
        assert b'""order"": {""id"": 42}' in content


class TestStretch:
    """What is drawn over the histogram, as Plotly tells it."""

    @pytest.fixture(autouse=True)
    def berlin(self, monkeypatch):
        monkeypatch.setattr(markup, "zone", lambda: ZoneInfo("Europe/Berlin"))

    @pytest.mark.parametrize(
        ("box", "points", "first", "last"),
        [
            (["2026-07-01 10:00:00.5", "2026-07-01 10:01:02.75"], [], "08:00:00", "08:01:02"),
            (["2026-07-01 10:01", "2026-07-01 10:00"], [], "08:00:00", "08:01:00"),
            (["2026-07-01 10:00:00.1", "2026-07-01 10:00:00.2"], [], "08:00:00", "08:00:01"),
            ([], ["2026-07-01T10:00:30"], "08:00:00", "08:01:00"),
            (["2026-07-01", "2026-07-01 01:00"], [], "22:00:00", "23:00:00"),
        ],
    )
    def test_is_one_of_whole_seconds(self, box, points, first, last):
        selection = SimpleNamespace(
            box=[{"x": box}] if box else [], points=[{"x": one} for one in points]
        )
        stretch = charts.stretch_of(selection, timedelta(minutes=1))
        assert stretch is not None
        assert [f"{at.astimezone(UTC):%H:%M:%S}" for at in stretch] == [first, last]

    def test_is_none_when_nothing_was(self):
        nothing = SimpleNamespace(box=[], points=[])
        assert charts.stretch_of(nothing, timedelta(minutes=1)) is None


class TestOneLine:
    def test_tells_all_of_it_and_what_stood_around_it(self, visit, platform):
        some(platform)
        line = payment(platform)
        screen = visit("logs", id=line["id"], words="stock")
        codes = [one.value for one in screen.app.code]
        assert codes == [line["message"], json.dumps({"order": {"id": 42}}, indent=2)]
        for told in (TRACE, "req-7", "w-1", "4711", line["id"]):
            assert told in screen.text
        assert messages(screen, "logs-context") == [
            "started yesterday",
            "order taken",
            "▸ payment failed: card declined",
            "order shipped",
        ]
        assert messages(screen) == ["stock is low"]
        screen.click("logs-more")
        context = platform.called("GET", f"logs/{line['id']}/context")
        assert [one.query["lines"] for one in context] == ["5", "50"]
        screen.click("logs-close")
        assert screen.address == {"tenant": "demo", "words": "stock"}
        assert not screen.app.code

    def test_leads_to_all_lines_of_its_trace(self, visit, platform):
        some(platform)
        said(platform, {"message": "the bank said no", "trace.id": TRACE, "service.name": "bank"})
        screen = visit("logs", id=payment(platform)["id"], source="shop").click("logs-all-trace")
        assert {"trace_id": TRACE, "range": "any"}.items() <= screen.address.items()
        assert "source" not in screen.address
        assert len(messages(screen)) == 2

    def test_leads_to_its_trace(self, visit, platform):
        kept = make_trace(platform.api())
        platform.keep_spans()
        said(platform, {"message": "of a kept one", "trace.id": kept})
        screen = visit("logs", id=platform.items("logs")[0]["id"]).click("logs-trace")
        assert screen.address["id"] == kept
        assert "Waterfall" in screen.text

    def test_of_a_trace_that_was_not_kept_says_so(self, visit, platform):
        some(platform)
        screen = visit("logs", id=payment(platform)["id"]).click("logs-trace")
        assert "No trace of it was kept" in screen.text

    def test_leads_to_the_records_of_its_request_and_back(self, visit, platform):
        record = platform.items("audit", action="email.submitted")[0]
        said(platform, {"message": "mail is wanted", "http.request.id": record["request_id"]})
        (line,) = platform.items("logs")
        screen = visit("logs", id=line["id"])
        # What the trail was filtered by before says nothing about this look.
        screen.app.session_state["audit-action-kept"] = "member.added"
        screen.click("logs-audit-request")
        assert {row["id"] for row in screen.rows("audit")} >= {record["id"]}
        query = platform.called("GET", "audit")[-1].query
        assert query == {"request_id": record["request_id"], "limit": "50"}
        screen = visit("audit")
        screen.app.session_state["audit-open"] = record["id"]
        screen.app.run()
        screen.follow("Log lines of its request")
        assert messages(screen) == ["mail is wanted"]
        assert screen.address["request_id"] == record["request_id"]

    def test_that_is_gone_is_said_to_be(self, visit, platform):
        some(platform)
        screen = visit("logs", id="01990b6e-0000-7000-8000-000000000000")
        assert "Code logging.record_not_found" in screen.text
        assert messages(screen)


class TestLive:
    def test_shows_what_comes_and_how_old_it_is(self, visit, platform):
        some(platform)
        screen = visit("logs", live="1", source="shop", range="7d")
        assert messages(screen, "logs-following") == [
            "order shipped",
            "payment failed: card declined",
            "order taken",
            "started yesterday",
        ]
        assert not platform.called("GET", "logs")
        said(platform, {"message": "one more", "service.name": "shop"}, {"message": "not of it"})
        screen.app.run()
        assert messages(screen, "logs-following")[:2] == ["one more", "order shipped"]
        assert "Live As of " in screen.text
        assert "1 line came since " in screen.text
        seq = platform.items("logs", words="shipped")[0]["seq"]
        assert platform.called("GET", "logs/tail")[-1].query == {
            "source": "shop",
            "after_seq": str(seq + 1),
            "limit": "200",
        }

    def test_pauses_and_goes_on_where_it_was(self, visit, platform):
        some(platform)
        screen = visit("logs", live="1").click("logs-pause")
        asked = len(platform.called("GET", "logs/tail"))
        said(platform, {"message": "meanwhile"})
        screen.app.run()
        assert "Paused As of" in screen.text
        assert len(platform.called("GET", "logs/tail")) == asked
        assert "meanwhile" not in messages(screen, "logs-following")
        screen.click("logs-pause")
        assert messages(screen, "logs-following")[0] == "meanwhile"

    def test_keeps_its_lines_while_nobody_answers(self, visit, platform):
        some(platform)
        screen = visit("logs", live="1")
        platform.wire.fail("GET", "/api/v1/logs/tail", 503, "unavailable", "Not now")
        screen.app.run()
        assert "Not answered As of" in screen.text
        assert len(messages(screen, "logs-following")) == 6

    def test_takes_what_came_in_several_requests(self, visit, platform):
        some(platform)
        screen = visit("logs", live="1")
        said(platform, *({"message": f"line {number}"} for number in range(450)))
        screen.app.run()
        assert messages(screen, "logs-following") == [f"line {n}" for n in range(449, 249, -1)]
        assert "450 lines came since" in screen.text
        assert "the newest 200 are shown." in screen.text

    def test_is_switched_on_and_off(self, visit, platform):
        some(platform)
        screen = visit("logs")
        screen.app.toggle(key="logs-live").set_value(True).run()
        assert screen.address == {"tenant": "demo", "live": "1"}
        screen.app.toggle(key="logs-live").set_value(False).run()
        assert screen.address == {"tenant": "demo"}
        assert len(messages(screen)) == 5


class TestFirst:
    def test_line_is_sent_by_the_command_on_show(self, visit, platform):
        screen = visit("logs")
        assert "No line yet" in screen.text
        words = shlex.split(screen.app.code[0].value.replace("\\\n", ""))
        key = make_api_key(platform.api(), "Shell", role="workflow")["key"]
        heads = dict(
            words[at + 1].replace("$KEY", key).split(": ", 1)
            for at, word in enumerate(words)
            if word == "-H"
        )
        url = next(word for word in words if word.startswith("http"))
        answer = platform.anybody().post(url, headers=heads, content=words[-1])
        assert answer.json()["accepted"] == 1
        screen.app.run()
        assert messages(screen) == ["It works"]


class TestWhoMay:
    @pytest.mark.parametrize("role", ["workflow", "auditor"])
    def test_see_no_page_without_reading(self, visit, platform, role):
        platform.give_role(VIC, role)
        with pytest.raises(ValueError, match="logs"):
            visit(None, person=VIC).app.switch_page("views/logs.py").run()

    def test_read_changes_nothing(self, visit, platform):
        some(platform)
        screen = visit("logs", person=VIC).click("logs-settings-open")
        assert "Kept 30 days" in screen.text
        assert "Credentials, Bearer and Basic, JSON Web Tokens, Private keys" in screen.text
        assert not screen.has_button("log-settings-rule-add")
        assert not screen.app.number_input


class TestSettings:
    def test_are_changed_all_of_them(self, visit, platform):
        screen = visit("logs").click("logs-settings-open")
        assert not screen.has_button("log-settings-save-start")
        screen.click("log-settings-rule-add").click("log-settings-pattern-add")
        app = screen.app
        (keep,) = [one for one in app.number_input if one.label.startswith("Days that")]
        keep.set_value(20)
        next(one for one in app.checkbox if "IP addresses" in one.label).set_value(True)
        next(one for one in app.text_input if one.label == "Name").set_value("customer_number")
        next(one for one in app.text_input if one.label == "Expression").set_value("C-[0-9]{6}")
        app.run()
        screen.click("log-settings-save-start")
        assert "go for good, within minutes" in screen.text
        screen.click("log-settings-save-yes")
        assert not app.exception
        saved = platform.get("log-settings")
        assert saved["keep_days"] == 20
        assert saved["retention"] == [{"days": 7, "levels": ["trace", "debug"], "source": None}]
        assert "ip_address" in saved["hidden"]
        assert saved["patterns"] == [{"name": "customer_number", "expression": "C-[0-9]{6}"}]
        assert "are changed" in screen.said
        said(platform, {"message": "C-123456 came from 192.0.2.7"})
        assert platform.items("logs")[0]["message"] == "[customer_number] came from [ip_address]"

    def test_are_not_saved_over_what_another_said(self, visit, platform):
        screen = visit("logs").click("logs-settings-open")
        platform.api().put("/api/v1/log-settings", json={"keep_days": 9}).raise_for_status()
        screen.app.number_input[0].set_value(20).run()
        screen.click("log-settings-save-start").click("log-settings-save-yes")
        assert "Code logging.settings_changed" in screen.text
        assert platform.get("log-settings")["keep_days"] == 9
        screen.click("log-settings-discard")
        assert screen.app.number_input[0].value == 9

    def test_show_what_is_wrong_with_an_expression(self, visit, platform):
        screen = visit("logs").click("logs-settings-open").click("log-settings-pattern-add")
        app = screen.app
        next(one for one in app.text_input if one.label == "Name").set_value("broken")
        next(one for one in app.text_input if one.label == "Expression").set_value("(")
        app.run()
        screen.click("log-settings-save-start").click("log-settings-save-yes")
        assert "/body/patterns/0/expression" in screen.text
        assert "It is no expression of RE2" in screen.text
        assert not platform.get("log-settings")["patterns"]

    def test_lose_a_rule_that_is_removed(self, visit, platform):
        rules = [{"days": 3, "levels": ["debug"]}, {"days": 90, "source": "shop"}]
        body = {"keep_days": 30, "retention": rules}
        platform.api(ADA).put("/api/v1/log-settings", json=body).raise_for_status()
        screen = visit("logs").click("logs-settings-open")
        first = next(one for one in screen.app.button if one.label == "Remove the rule")
        first.click().run()
        screen.click("log-settings-save-start").click("log-settings-save-yes")
        kept = platform.get("log-settings")["retention"]
        assert kept == [{"days": 90, "levels": [], "source": "shop"}]


class TestPatterns:
    def shown(self, visit, **address):
        screen = visit("logs", **address)
        screen.app.segmented_control(key="logs-shown").set_value("Patterns").run()
        return screen

    def test_alike_lines_are_one_row_that_opens_the_last(self, visit, platform):
        now = datetime.now(UTC)

        def order(minutes):
            at = (now - timedelta(minutes=minutes)).isoformat()
            return {"@timestamp": at, "message": f"order {minutes} taken", "service.name": "shop"}

        said(platform, *(order(minutes) for minutes in (1, 2, 3, 30 * 60)))
        screen = self.shown(visit, range="24h")
        (row,) = screen.rows("logs-patterns")
        assert (row["pattern"], row["count"], row["new"]) == ("order <n> taken", "3", "Yes")
        assert row["example"] == "order 1 taken"
        assert "1 pattern of 3 lines. Compared with 1 line before this time" in screen.text
        screen.app.toggle(key="logs-patterns-new").set_value(True).run()
        assert "Nothing new" in screen.text

    def test_of_several_sources_it_says_who_says_most(self, visit, platform):
        some(platform)
        screen = self.shown(visit, range="24h")
        assert screen.rows("logs-talkers")[0]["source"] == "shop"
        assert not screen.app.exception
