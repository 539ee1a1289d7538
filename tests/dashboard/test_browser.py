"""The console in Chromium: the real login, every page in light and dark, nothing it should not do.

By default a filled platform and a console are started here. To run the same tests on a real one, as
an owner who is a platform administrator, set EMAIL_SENDER_TEST_CONSOLE_URL, EMAIL_SENDER_TEST_USER
and EMAIL_SENDER_TEST_PASSWORD.
EMAIL_SENDER_SCREENSHOTS names a folder for the screenshots.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import httpx
import pytest
from playwright.sync_api import Browser, expect

from backend.managers.audit import offline
from dashboard.app import ENTRIES
from tests.dashboard.conftest import copy_of
from tests.support.browser import (
    WAIT,
    Inside,
    MovedClock,
    Target,
    Visitor,
    Watch,
    chromium,
    console,
    free_port,
    screenshots,
    wait_until,
)
from tests.support.factories import HOSTILE_SUBJECT, make_logs, make_trace
from tests.support.prometheus import nothing
from tests.support.serving import patient_settings, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1200)]

# The first is the one that an address without a path shows.
PAGES = {entry.title: Path(entry.file).stem if entry is not ENTRIES[0] else "" for entry in ENTRIES}


RULE_FILE = b"""
groups:
  - name: orders
    rules:
      - {alert: OrdersStopped, expr: "rate(orders_total[5m]) == 0", labels: {severity: info}}
      - {record: orders, expr: orders_total}
"""


def series(path: str, query: Mapping[str, list[str]]) -> tuple[int, Any]:
    """What a Prometheus tells that scrapes two processes, one of which is down."""
    both = [("api-1:8400", "up"), ("worker-1:8405", "down")]
    labels: list[dict[str, str]] = [
        {"job": "email-sender", "instance": instance} for instance, _ in both
    ]
    match path.removeprefix("/api/v1/"):
        case "query_range":
            start, end, step = (float(query[name][0]) for name in ("start", "end", "step"))
            times = [start + step * at for at in range(int((end - start) / step) + 1)]
            found = [
                {
                    "metric": one | {"__name__": "orders_total"},
                    "values": [[at, str(5 + row + at // 60 % 7)] for at in times],
                }
                for row, one in enumerate(labels)
            ]
            data: Any = {"resultType": "matrix", "result": found}
        case "label/__name__/values":
            data = ["orders_open", "orders_total", "up"]
        case "labels":
            data = ["__name__", "instance", "job"]
        case "targets":
            data = {
                "activeTargets": [
                    {
                        "labels": one,
                        "health": health,
                        "lastScrape": "2026-11-20T09:00:00Z",
                        "lastScrapeDuration": 0.0123,
                        "scrapeUrl": f"http://{instance}/metrics",
                        "lastError": "" if health == "up" else "connection refused",
                    }
                    for one, (instance, health) in zip(labels, both, strict=True)
                ]
            }
        case "rules":
            alert = {
                "labels": {"alertname": "EmailSenderProcessDown", **labels[1]},
                "annotations": {"summary": "worker-1:8405 does not answer"},
                "state": "firing",
                "activeAt": "2026-11-20T09:00:00Z",
            }
            rule = {"health": "ok", "labels": {}, "query": "up == 0"}
            of_group = [
                {**rule, "name": "EmailSenderProcessDown", "type": "alerting", "alerts": [alert]},
                {**rule, "name": "EmailSenderAbsent", "type": "alerting", "alerts": []},
                {**rule, "name": "email_sender:requests:rate5m", "type": "recording"},
            ]
            data = {"groups": [{"name": "email-sender.alerts", "rules": of_group}]}
        case _:
            return nothing(path, query)
    return 200, {"status": "success", "data": data}


@pytest.fixture(scope="module")
def console_target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """The console under test, with its platform."""
    url = os.environ.get("EMAIL_SENDER_TEST_CONSOLE_URL")
    if url:
        user = os.environ["EMAIL_SENDER_TEST_USER"]
        yield Target(url.rstrip("/"), user, os.environ["EMAIL_SENDER_TEST_PASSWORD"])
        return
    data = copy_of(request.getfixturevalue("sow")(), tmp_path_factory.mktemp("served") / "data")
    port, watch, clock = free_port(), Watch(), MovedClock()
    with (
        serving(
            data,
            f"sqlite:///{data / 'console.db'}",
            console_url=f"http://localhost:{port}",
            clock=clock,
            around=watch.around,
            prometheus=series,
        ) as served,
        console(served, tmp_path_factory.mktemp("console"), port),
    ):
        inside = Inside(served, watch, clock)
        yield Target(f"http://localhost:{port}", served.email, served.password, inside)


@pytest.fixture(scope="module")
def browser(console_target: Target) -> Iterator[Browser]:
    with chromium() as started:
        yield started


Enter = Callable[..., Visitor]


@pytest.fixture
def enter(browser: Browser, console_target: Target) -> Iterator[Enter]:
    """Open a browser window: ``enter("dark")``; it must have nothing to complain about."""
    visitors: list[Visitor] = []

    def go(scheme: str = "light", *, phone: bool = False, zone: str = "UTC") -> Visitor:
        context = browser.new_context(
            color_scheme="dark" if scheme == "dark" else "light",
            viewport={"width": 390, "height": 844} if phone else {"width": 1280, "height": 900},
            is_mobile=phone,
            has_touch=phone,
            timezone_id=zone,
        )
        visitor = Visitor(context.new_page(), console_target, screenshots(), scheme)
        visitors.append(visitor)
        return visitor

    yield go
    for visitor in visitors:
        visitor.page.context.close()


class TestLooks:
    """Each page is come to once, and looked at there in light and dark."""

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_signed_out_page(self, enter: Enter, scheme: str):
        visitor = enter(scheme)
        visitor.page.goto(visitor.target.url)
        expect(visitor.page.get_by_role("button")).to_have_count(1)
        expect(visitor.page.get_by_role("button")).to_have_text("Log in")
        visitor.check_accessibility("signed out")
        visitor.check_headings("signed out")
        visitor.picture("signed-out")
        assert visitor.page.title() == "Email Sender"
        assert visitor.page.evaluate("document.documentElement.lang") == "en"
        assert (visitor.complaints, visitor.external) == ([], [])

    def test_comes_up_in_the_scheme_of_the_machine(self, enter: Enter):
        light, dark = enter("light").log_in(), enter("dark").log_in()
        color = "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
        bright, dim = (
            sum(int(part) for part in re.findall(r"\d+", visitor.page.evaluate(color))[:3])
            for visitor in (light, dark)
        )
        assert dim < 200
        assert bright > 600

    def test_every_page(self, enter: Enter):
        visitor = enter().log_in()
        visitor.settle()
        navigation = visitor.page.locator(".st-key-side-pages").get_by_role("link")
        expect(navigation).to_have_count(len(PAGES))
        for name, path in PAGES.items():
            visitor.open(name)
            visitor.check_headings(name)
            if visitor.target.platform is not None or visitor.shots is not None:
                # Elsewhere the pages look the same: there they have to come, and whole.
                visitor.survey(path or "overview", widths=(1280,))
        for chrome in ("stAppDeployButton", "stMainMenu", "stMainMenuButton"):
            expect(visitor.page.get_by_test_id(chrome)).to_have_count(0)
        assert (visitor.complaints, visitor.external) == ([], [])

    def test_one_of_each(self, enter: Enter):
        visitor = enter().log_in()
        landmarks = {
            "E-mails": "Timeline",
            "Jobs": "Details",
            "Audit": "Record",
            "Tenants": "Quotas",
            "Secrets": "Versions",
        }
        for name in (*landmarks, "Members", "API clients"):
            visitor.open(name)
            rows = visitor.page.locator("tr.opens button")
            expect(rows.first.or_(visitor.page.locator(".es-empty").first)).to_be_visible()
            if rows.count() == 0:
                pytest.skip(f"the platform has nothing to open on {name}: send an e-mail first")
            landmark = landmarks.get(name, rows.first.inner_text())
            rows.first.click()
            expect(visitor.page.get_by_role("heading", name=landmark).first).to_be_visible()
            if name == "E-mails":
                visitor.survey("emails-one-unread", widths=(1280,))
                visitor.page.get_by_role("button", name="Show content").click()
                expect(visitor.page.get_by_role("button", name="Hide content")).to_be_visible()
            visitor.check_headings(f"one of {name}")
            visitor.survey(f"{PAGES[name]}-one", widths=(1280,))
        assert visitor.external == visitor.blocked

    def test_a_key_from_its_making_to_its_end(self, enter: Enter):
        visitor = enter().log_in()
        page, name = visitor.page, "Weekly figures"
        visitor.open("API keys")
        page.get_by_role("button", name="New API key").click()
        page.get_by_label("Name").fill(name)
        page.get_by_role("spinbutton", name="year, Last day").click()
        page.keyboard.type("20350630")
        page.keyboard.press("Escape")  # the calendar that opened beside what is typed
        visitor.check_headings("a new key")
        visitor.survey("api-keys-new")
        page.get_by_role("button", name="Create API key").click()
        expect(page.get_by_role("heading", name=f"Credentials of {name}")).to_be_visible()
        visitor.check_headings("a key shown once")
        visitor.survey("api-keys-secret")
        page.get_by_role("button", name="I have copied it").click()
        expect(page.get_by_role("heading", name=f"Credentials of {name}")).to_have_count(0)
        visitor.settle()  # the table moves up: a click begun before that ends beside the row
        page.get_by_role("button", name=name).click()
        expect(page.get_by_role("heading", name=name, level=2)).to_be_visible()
        expect(page.locator(".es-facts").get_by_text("2035-06-30 23:59:59")).to_be_visible()
        visitor.survey("api-keys-one")
        page.get_by_role("button", name="Revoke").click()
        visitor.survey("api-keys-question")
        page.get_by_role("button", name="Revoke this key").click()
        expect(page.get_by_text(f"{name} is revoked.")).to_be_visible()
        expect(page.get_by_role("button", name=name)).to_have_count(0)
        visitor.expect_no_problem()

    def test_the_trail_from_its_signing_to_where_it_is_pushed(self, enter: Enter):
        visitor = enter().log_in()
        visitor.target.inside()
        page = visitor.page
        visitor.open("Checkpoints")
        page.get_by_role("button", name="Sign now").click()
        expect(page.get_by_text("records are signed.")).to_be_visible()
        expect(page.get_by_role("button", name="Save the signed note")).to_be_visible()
        visitor.survey("audit-checkpoints-one")
        visitor.open("Audit")
        page.get_by_label("Action", exact=True).fill("email.submitted")
        page.keyboard.press("Enter")
        visitor.settle()
        first = page.locator("tr.opens button").first
        expect(first).to_contain_text("email.submitted")
        first.click()
        page.get_by_role("button", name="Prove it").click()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save the proof").click()
        key = offline.Key(visitor.target.inside().get("audit/key")["vkey"])
        report = offline.verify_proof(saved.value.path().read_text("utf-8"), key)
        assert (report.findings, report.proved.split()[0]) == ([], "record")
        visitor.survey("audit-proof")
        visitor.open("Verifications")
        page.get_by_role("button", name="Verify all").click()
        expect(page.get_by_text("Waiting for a worker.").first).to_be_visible()
        visitor.survey("audit-verifications-waiting")
        visitor.open("Audit stream")
        page.get_by_role("textbox", name="Address").fill("https://siem.example.com/audit")
        visitor.survey("audit-stream-new")
        page.get_by_role("button", name="Set up", exact=True).click()
        expect(page.get_by_role("heading", name="The secret of this stream")).to_be_visible()
        visitor.survey("audit-stream-secret")
        page.get_by_role("button", name="I have copied it").click()
        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_text("It stands after record").first).to_be_visible()
        visitor.survey("audit-stream-paused")
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Delete the stream").click()
        expect(page.get_by_text("The trail is pushed nowhere any more.")).to_be_visible()
        assert (visitor.complaints, visitor.external) == ([], [])

    def test_an_objective_from_its_promise_to_its_end(self, enter: Enter):
        visitor = enter().log_in()
        page, name = visitor.page, "Requests are served"
        visitor.open("Objectives")
        page.get_by_role("button", name="New objective").click()
        page.get_by_label("Name").first.fill(name)
        visitor.check_headings("a new objective")
        visitor.survey("slos-new")
        page.get_by_role("button", name="Create objective").click()
        page.get_by_role("button", name=name).click()
        expect(page.get_by_role("heading", name="How fast the budget burns")).to_be_visible()
        visitor.check_headings("one objective")
        visitor.survey("slos-one")
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Delete this objective").click()
        expect(page.get_by_text(f"{name} is deleted.")).to_be_visible()
        page.get_by_role("button", name="Record evidence").first.click()
        page.get_by_label("Value").fill("12.5")
        page.get_by_label("Source").fill("scripts/drill failover")
        visitor.survey("slos-evidence")
        page.get_by_role("button", name="Record evidence").last.click()
        expect(page.get_by_text("decides for ninety days")).to_be_visible()
        page.get_by_role("button", name="Failover").click()
        expect(page.get_by_role("heading", name="Evidence")).to_be_visible()
        visitor.survey("slos-platform-one")
        visitor.expect_no_problem()

    def test_an_alert_from_its_raising_to_its_end(self, enter: Enter):
        visitor = enter().log_in()
        page, name = visitor.page, "Import stands still"
        visitor.open("Alert rules")
        page.get_by_role("button", name="New alert rule").click()
        visitor.check_headings("a new alert rule")
        visitor.survey("alert-rules-new")
        page.get_by_label("Name").first.fill("Orders have stopped")
        page.get_by_label("Metric").first.fill("orders_total")
        page.get_by_label("Threshold").fill("0.5")
        page.get_by_role("button", name="Create alert rule").click()
        expect(page.get_by_text("Orders have stopped is looked at from now on.")).to_be_visible()
        visitor.survey("alert-rules-one")
        page.get_by_role("button", name="Import").click()
        page.locator("input[type=file]").set_input_files(
            {"name": "rules.yml", "mimeType": "application/yaml", "buffer": RULE_FILE}
        )
        expect(page.get_by_text("It would make 1 and change 0")).to_be_visible()
        visitor.survey("alert-rules-import")
        page.get_by_role("button", name="Import file").click()
        expect(page.get_by_text("1 made, 0 changed")).to_be_visible()
        visitor.open("Alerts")
        page.get_by_role("button", name="Raise alert").first.click()
        page.get_by_label("Name").first.fill(name)
        page.get_by_label("Says").fill("Nothing came since nine")
        visitor.survey("alerts-new")
        page.get_by_role("button", name="Raise alert").last.click()
        page.get_by_role("button", name=name).click()
        expect(page.get_by_role("heading", name="What happened")).to_be_visible()
        page.get_by_role("button", name="Acknowledge").click()
        expect(page.get_by_text(f"{name} is acknowledged.")).to_be_visible()
        page.get_by_label("Comment").fill("The disk was full")
        page.get_by_role("button", name="Write it down").click()
        expect(page.get_by_text("The disk was full")).to_be_visible()
        visitor.check_headings("one alert")
        visitor.survey("alerts-one")
        page.get_by_role("button", name="Resolve").click()
        page.get_by_role("button", name="Resolve this alert").click()
        expect(page.get_by_text(f"{name} is over.")).to_be_visible()
        visitor.expect_no_problem()

    def test_a_webhook_and_what_was_tried(self, enter: Enter):
        visitor = enter().log_in()
        page = visitor.page
        visitor.open("Webhooks")
        page.get_by_role("button", name="New webhook").click()
        name = "Orders to the warehouse"
        page.get_by_label("Name").fill(name)
        page.get_by_label("Address").fill("https://hooks.example.com/events")
        page.get_by_role("textbox", name="Told of").fill("alert.fired alert.resolved")
        visitor.survey("webhooks-new")
        page.get_by_role("button", name="Create webhook").click()
        expect(page.get_by_text(f"The secret of {name}")).to_be_visible()
        page.get_by_role("button", name=name, exact=True).click()
        page.get_by_role("button", name="Send a test").click()
        expect(page.get_by_text(f"{name} did not take it.")).to_be_visible()
        page.get_by_role("table", name="What was tried").get_by_role("button").first.click()
        expect(page.get_by_text("Why it was not taken")).to_be_visible()
        visitor.check_headings("one webhook")
        visitor.survey("webhooks-one")

    def test_jobs_that_wait_for_each_other_and_for_the_clock(self, enter: Enter):
        visitor = enter().log_in()
        page = visitor.page
        asks = {"kind": "http.request", "args": {"url": "https://books.example.com/close"}}
        after = {
            "collect orders": (),
            "collect returns": (),
            "close the books": ("collect-orders", "collect-returns"),
            "tell the team": ("close-the-books",),
            "print": ("close-the-books",),
        }
        tasks = [
            {"name": name.replace(" ", "-"), "depends_on": list(parents), **asks}
            for name, parents in after.items()
        ]
        complain = {"name": "complain", "depends_on": ["close-the-books"], "runs_on": "failure"}
        graph = {"name": "Month's end", "tasks": [*tasks, {**complain, **asks}]}
        visitor.target.inside().post("job-graphs", graph)
        visitor.open("Job graphs")
        page.get_by_role("button", name="Month's end").first.click()
        expect(page.get_by_text("0 of 6 jobs have ended")).to_be_visible()
        expect(page.get_by_role("img", name="Jobs of Month's end")).to_be_visible()
        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_text("it is paused")).to_be_visible()
        visitor.check_headings("one graph")
        visitor.survey("job-graphs-one")
        visitor.open("Schedules")
        page.get_by_role("button", name="New schedule").click()
        page.get_by_label("Name").fill("Nightly import")
        page.get_by_role("textbox", name="Crontab").first.fill("30 2 * * mon-fri")
        page.get_by_role("textbox", name="Zone").first.fill("Europe/Paris")
        page.get_by_role("textbox", name="Address").fill("https://books.example.com/import")
        visitor.survey("job-schedules-new")
        page.get_by_role("button", name="Create schedule").click()
        expect(page.get_by_text("Nightly import is submitted when it is time.")).to_be_visible()
        page.get_by_role("button", name="Nightly import", exact=True).click()
        expect(page.get_by_role("table", name="Times of Nightly import")).to_be_visible()
        visitor.settle()
        page.get_by_text("Change when it is due").click()
        page.get_by_role("button", name="Preview").click()
        visitor.settle()
        visitor.check_headings("one schedule of jobs")
        visitor.survey("job-schedules-one")
        visitor.expect_no_problem()

    def test_a_silence_and_who_is_on_call(self, enter: Enter):
        visitor = enter().log_in()
        page = visitor.page
        visitor.open("Silences")
        page.get_by_role("button", name="New silence").click()
        page.get_by_label("Alerts with labels").fill('team="db"')
        page.get_by_label("Why").fill("The database moves")
        visitor.survey("silences-new")
        page.get_by_role("button", name="Create silence").click()
        expect(page.get_by_text('Alerts with team="db" are silenced.')).to_be_visible()
        page.get_by_role("button", name='team="db"').click()
        expect(page.get_by_text("When of the week")).to_be_visible()
        visitor.survey("silences-one")
        page.get_by_role("button", name="Close").first.click()
        page.get_by_text("Calendar", exact=True).click()
        expect(page.get_by_role("table", name="When silences count")).to_be_visible()
        visitor.survey("silences-calendar")
        visitor.open("On call")
        page.get_by_role("button", name="New schedule").click()
        page.get_by_label("Name").first.fill("Database")
        page.get_by_label("People, in turn").fill("ada@example.com bob@example.com")
        page.get_by_label("The first turn begins").fill("2026-01-05 09:00")
        page.get_by_label("By the clocks of").fill("Europe/Paris")
        visitor.survey("on-call-new")
        page.get_by_role("button", name="Create schedule").click()
        expect(page.get_by_text("Database has somebody on call.")).to_be_visible()
        page.get_by_role("button", name="Database").click()
        expect(page.get_by_role("heading", name="The next four weeks")).to_be_visible()
        page.get_by_role("button", name="Tell of hand-overs").click()
        expect(page.get_by_text("Who begins and who ends by Database is told")).to_be_visible()
        expect(page.get_by_role("button", name="Tell nobody of hand-overs")).to_be_visible()
        visitor.check_headings("one schedule")
        visitor.survey("on-call-one")
        page.get_by_role("button", name="All schedules").click()
        visitor.survey("on-call")
        visitor.expect_no_problem()

    def test_a_query_from_its_writing_to_its_being_saved(self, enter: Enter):
        visitor = enter().log_in()
        visitor.target.inside()
        page = visitor.page
        visitor.open("Prometheus")
        editor = page.get_by_label("Query", exact=True)
        offered = page.get_by_role("listbox", name="Names that fit")
        editor.press_sequentially("ord")
        expect(offered.get_by_role("option")).to_have_text(["orders_open", "orders_total"])
        visitor.survey("prometheus-names")
        editor.press("ArrowDown")
        editor.press("Enter")
        expect(editor).to_have_value("orders_total")
        expect(offered).to_be_hidden()
        editor.press_sequentially("{inst")
        expect(offered.get_by_role("option")).to_have_text(["instance"])
        editor.press("Tab")
        editor.press_sequentially('=~"ord')
        expect(offered).to_be_hidden()  # a text is no name
        editor.press("Control+Enter")
        mark = page.locator("mark")
        expect(mark).to_be_visible()
        expect(page.get_by_text("The query cannot be read")).to_be_visible()
        visitor.survey("prometheus-error", refused=True)
        editor.fill("orders_total")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.get_by_role("heading", name="Over time")).to_be_visible()
        expect(mark).to_have_count(0)
        expect(page).to_have_url(re.compile(r"query=orders_total"))
        page.get_by_label("Save under a new name").fill("Orders")
        page.get_by_role("button", name="Save as new").click()
        expect(page.get_by_text("Orders is saved for everybody in this tenant.")).to_be_visible()
        visitor.check_headings("a query")
        visitor.survey("prometheus-range")
        page.reload()
        expect(editor).to_have_value("orders_total")
        expect(page.get_by_text("Orders is open.")).to_be_visible()
        page.get_by_role("radio", name="The platform").or_(
            page.get_by_role("button", name="The platform")
        ).first.click()
        for part, landmark in (("Targets", "worker-1:8405"), ("Rules and alerts", "Alerts")):
            page.get_by_role("radio", name=part).or_(
                page.get_by_role("button", name=part)
            ).first.click()
            expect(page.get_by_text(landmark).first).to_be_visible()
            visitor.check_headings(part)
            visitor.survey(f"prometheus-{part.split()[0].lower()}")
        assert visitor.external == []

    def test_an_address_of_no_tenant_of_ones_own(self, enter: Enter):
        visitor = enter().log_in()
        visitor.page.goto(f"{visitor.target.url}/emails?tenant=initech")
        expect(visitor.page.get_by_role("heading", name="Not your tenant")).to_be_visible()
        expect(visitor.page.get_by_role("link", name="Jobs")).to_have_count(0)
        visitor.check_headings("not your tenant")
        visitor.survey("not-your-tenant")

    def test_a_phones_drawer_lies_over_no_page(self, enter: Enter):
        visitor = enter(phone=True).log_in()
        page = visitor.page
        visitor.settle()
        drawer = page.get_by_test_id("stSidebar")

        def is_out() -> bool:
            box = drawer.bounding_box()
            return box is not None and box["x"] == 0

        for name in ("Jobs", "E-mails", "Overview"):
            expect(drawer).to_have_attribute("data-collapsed", "true")
            page.get_by_test_id("stExpandSidebarButton").click()
            expect(drawer).to_have_attribute("data-collapsed", "false")
            wait_until(is_out, "the drawer")
            visitor.shoot("drawer-phone")
            visitor.open(name)
        expect(drawer).to_have_attribute("data-collapsed", "true")
        page.get_by_test_id("stExpandSidebarButton").click()
        expect(drawer).to_have_attribute("data-collapsed", "false")
        page.reload()  # Streamlit remembers that it was open
        visitor.expect_page("Overview")
        expect(drawer).to_have_attribute("data-collapsed", "true")

    def test_every_page_on_a_phone(self, enter: Enter):
        visitor = enter(phone=True).log_in()
        for name, path in PAGES.items():
            visitor.page.goto(f"{visitor.target.url}/{path}")
            visitor.expect_page(name)
            folded = visitor.page.get_by_test_id("stSidebar")
            expect(folded).to_have_attribute("data-collapsed", "true")
            visitor.check_accessibility(f"{name} on a phone")
            visitor.shoot(f"{path or 'overview'}-phone")
            wide = "document.documentElement.scrollWidth > window.innerWidth"
            assert not visitor.page.evaluate(wide), f"{name} is wider than the screen"
        assert visitor.external == []


class TestPhone:
    def test_shows_the_roles_folded_by_what_they_are_about(self, enter: Enter):
        visitor = enter(phone=True).log_in()
        page = visitor.page
        page.goto(f"{visitor.target.url}/roles")
        visitor.expect_page("Roles")
        grid = page.get_by_role("table", name="Permissions by role")
        row = grid.get_by_role("rowheader", name="email:read", exact=True)
        head = grid.get_by_role("button", name=re.compile(r"^email \(\d+\)$"))
        expect(head).to_have_attribute("aria-expanded", "false")
        expect(row).to_be_hidden()
        # All of it is three screens at most.
        assert page.evaluate("element => element.offsetHeight", grid.element_handle()) < 3 * 844
        head.tap()
        expect(row).to_be_visible()
        visitor.check_accessibility("roles unfolded on a phone")
        head.scroll_into_view_if_needed()
        visitor.shoot("roles-unfolded-phone")
        head.tap()
        expect(row).to_be_hidden()

    def test_folds_nothing_on_a_desk_until_asked(self, enter: Enter):
        visitor = enter().log_in()
        visitor.open("Roles")
        grid = visitor.page.get_by_role("table", name="Permissions by role")
        row = grid.get_by_role("rowheader", name="email:read", exact=True)
        head = grid.get_by_role("button", name=re.compile(r"^email \(\d+\)$"))
        expect(row).to_be_visible()
        head.press("Enter")
        expect(row).to_be_hidden()


class TestLocalTime:
    """Half-hour zones on both sides of Greenwich, one with summer time: nothing rounds to hours."""

    @pytest.mark.parametrize("zone", ["America/St_Johns", "Asia/Kolkata"])
    def test_is_that_of_the_persons_own_clock(self, enter: Enter, zone: str):
        seen = {}
        for place in ("UTC", zone):
            visitor = enter(zone=place).log_in()
            visitor.open("Audit")
            # Between the rows stand the headings of their days.
            rows = visitor.page.locator("tr.opens")
            expect(rows.first).to_be_visible()
            cells = [row.split("\t") for row in rows.all_inner_texts()]
            seen[place] = {row[2]: datetime.fromisoformat(row[1]) for row in cells}
            visitor.shoot(f"audit-{place.replace('/', '-')}")
        both = seen["UTC"].keys() & seen[zone].keys()
        assert len(both) > 3
        for seq in both:
            there = seen["UTC"][seq].replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
            assert seen[zone][seq] == there.replace(tzinfo=None)


class TestLogin:
    def test_by_another_loopback_name_ends_at_the_public_one(self, enter: Enter):
        visitor = enter()
        address = urlsplit(visitor.target.url)
        if address.hostname != "localhost":
            pytest.skip("the console is not reached by localhost here")
        visitor.page.goto(f"http://127.0.0.1:{address.port}/")
        expect(visitor.page.get_by_role("button", name="Log in")).to_be_visible()
        assert urlsplit(visitor.page.url).hostname == "localhost"

    def test_keeps_access_tokens_out_of_the_browser(self, enter: Enter):
        visitor = enter().log_in()
        tokens = visitor.target.inside().watch.tokens
        stored = str(visitor.page.context.cookies()) + visitor.page.evaluate(
            "JSON.stringify([{...localStorage}, {...sessionStorage}])"
        )
        assert tokens
        assert not any(token in stored for token in tokens)
        ours = [c for c in visitor.page.context.cookies() if c["name"].startswith("email_sender")]
        assert ours
        assert all(cookie["httpOnly"] and cookie["sameSite"] == "Lax" for cookie in ours)

    def test_log_out_ends_it(self, enter: Enter):
        visitor = enter().log_in()
        visitor.page.get_by_role("button", name="Log out").click()
        expect(visitor.page.get_by_role("button", name="Log in")).to_be_visible()
        visitor.page.goto(visitor.target.url)
        expect(visitor.page.get_by_role("button", name="Log in")).to_be_visible()
        names = [cookie["name"] for cookie in visitor.page.context.cookies()]
        assert not any(name.startswith("email_sender_console_user") for name in names)

    def test_that_has_expired_leads_to_the_provider_again(self, enter: Enter):
        # An id token that ended half a minute ago: within what the login's own validation
        # forgives, past what the console does.
        visitor = enter()
        clock = visitor.target.inside().clock
        life = patient_settings(Path(), "sqlite://", 0).identity.session_seconds
        visitor.page.goto(visitor.target.url)
        clock.seconds = -life - 30
        try:
            visitor.page.get_by_role("button", name="Log in").click()
            visitor.give_password()
            visitor.page.wait_for_url(re.compile(r"/auth/login|/oauth2callback|/oauth/"))
            expect(visitor.page.get_by_label("Password")).to_be_visible()
        finally:
            clock.seconds = 0
        visitor.page.goto(visitor.target.url)
        visitor.page.wait_for_url(re.compile("/oauth/login"))
        visitor.give_password()
        expect(visitor.page.get_by_role("heading", name="Overview")).to_be_visible()

    def test_that_ended_elsewhere_says_so_on_a_page_that_lives(self, enter: Enter):
        visitor = enter().log_in()
        visitor.settle()
        other = visitor.page.context.new_page()
        other.goto(
            f"{visitor.target.inside().served.base_url}/oauth/logout".replace(
                "127.0.0.1", "localhost"
            )
        )
        other.get_by_role("button", name="Log out").click()
        # The live figures meet the refusal by themselves.
        expect(visitor.page.get_by_text("Your login has ended")).to_be_visible()
        expect(visitor.page.get_by_role("link", name="E-mails")).to_have_count(0)


class TestActs:
    def test_overview_renews_itself(self, enter: Enter):
        visitor = enter()
        watch = visitor.target.inside().watch
        visitor.page.clock.install()
        visitor.log_in()
        visitor.settle()
        before = watch.count("GET", "/api/v1/overview")
        visitor.page.clock.fast_forward(11_000)
        wait_until(lambda: watch.count("GET", "/api/v1/overview") > before, "a second reading")

    def test_export_hands_over_a_csv_file(self, enter: Enter):
        visitor = enter().log_in()
        visitor.open("E-mails")
        visitor.page.get_by_role("button", name="Export").click()
        visitor.page.get_by_role("button", name="Prepare file").click()
        with visitor.page.expect_download() as download:
            visitor.page.get_by_role("button", name=re.compile("Download .* rows")).click()
        assert download.value.suggested_filename == "emails.csv"
        with Path(download.value.path()).open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows
        assert {"id", "state", "subject", "to"} <= set(rows[0])

    def test_a_job_is_cancelled_after_one_question(self, enter: Enter):
        visitor = enter().log_in()
        platform = visitor.target.inside()
        job = platform.get("jobs", state="ready")["items"][0]
        visitor.page.goto(f"{visitor.target.url}/jobs?id={job['id']}")
        visitor.page.get_by_role("button", name="Cancel job").click()
        expect(
            visitor.page.get_by_text("takes it out of the queue until somebody runs it again")
        ).to_be_visible()
        visitor.check_accessibility("the question")
        visitor.picture("jobs-question")
        assert platform.get(f"jobs/{job['id']}")["state"] == "ready"
        visitor.page.get_by_role("button", name="Cancel this job").click()
        expect(visitor.page.get_by_text("The job is cancelled.")).to_be_visible()
        assert platform.get(f"jobs/{job['id']}")["state"] == "cancelled"

    def test_an_open_job_is_shown_as_it_becomes(self, enter: Enter):
        visitor = enter().log_in()
        platform = visitor.target.inside()
        job = platform.get("jobs", state="ready")["items"][0]
        visitor.page.goto(f"{visitor.target.url}/jobs?tenant=demo&id={job['id']}")
        expect(visitor.page.get_by_role("button", name="Cancel job")).to_be_visible()
        platform.post(f"jobs/{job['id']}/cancel")
        expect(visitor.page.get_by_role("button", name="Run again")).to_be_visible()
        visitor.expect_no_problem()

    def test_the_settings_are_saved_after_a_question(self, enter: Enter):
        visitor = enter().log_in()
        platform, page = visitor.target.inside(), visitor.page
        visitor.open("E-mail settings")
        page.get_by_role("spinbutton", name="Days to keep messages").fill("200")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("messages older than 200 days")).to_be_visible()
        visitor.check_accessibility("the question")
        visitor.picture("email-settings-question")
        assert platform.get("email-settings")["keep_days"] is None
        page.get_by_role("button", name="Save and delete").click()
        expect(page.get_by_text("messages for 200 days").first).to_be_visible()
        assert platform.get("email-settings")["keep_days"] == 200

    def test_the_mail_server_is_tried_and_every_step_told(self, enter: Enter):
        visitor = enter().log_in()
        platform, page = visitor.target.inside(), visitor.page
        before = platform.get("email-settings")
        visitor.open("E-mail settings")
        page.get_by_text("This tenant's own", exact=True).first.click()
        page.get_by_label("Host").fill("nobody.invalid")
        page.get_by_label("To", exact=True).fill("ada@example.test")
        page.get_by_role("button", name="Test without saving").click()
        expect(page.get_by_text("There is no address for nobody.invalid.")).to_be_visible()
        expect(page.locator(".es-dialogue li")).to_have_count(1)
        visitor.check_accessibility("a test message")
        visitor.check_headings("a test message")
        visitor.picture("email-settings-tested")
        page.get_by_role("button", name="Discard changes").click()
        expect(page.get_by_label("Host")).to_have_count(0)
        assert platform.get("email-settings") == before

    def test_the_chain_is_verified(self, enter: Enter):
        visitor = enter().log_in()
        visitor.open("Audit")
        visitor.page.get_by_role("button", name="Verify the chain").click()
        expect(visitor.page.get_by_text("records are as they were written")).to_be_visible()
        visitor.picture("audit-verified")

    def test_a_row_opens_by_keyboard(self, enter: Enter):
        visitor = enter().log_in()
        visitor.open("E-mails")
        row = visitor.page.locator("tr.opens button").first
        subject = row.inner_text()
        row.focus()
        visitor.page.keyboard.press("Enter")
        expect(visitor.page.get_by_role("heading", name=subject, level=1)).to_be_visible()

    def test_a_row_opens_though_something_else_is_clicked_at_once(self, enter: Enter):
        visitor = enter().log_in()
        watch = visitor.target.inside().watch
        page, name, route = visitor.page, "Dashboard wall", ("GET", "/api/v1/api-keys")
        visitor.open("API keys")
        before = watch.count(*route)
        with watch.holding(*route):
            page.get_by_role("button", name=name).click()
            wait_until(lambda: watch.count(*route) > before, "the list")
            page.get_by_role("button", name="New API key").click()
            page.wait_for_timeout(500)  # nothing tells when the second click has arrived
        expect(page.get_by_role("heading", name="New API key")).to_be_visible()
        expect(page.get_by_role("heading", name=name, level=2)).to_be_visible()

    def test_the_tenant_is_switched(self, enter: Enter):
        visitor = enter().log_in()
        visitor.target.inside()
        visitor.open("E-mails")
        visitor.page.get_by_role("combobox", name=re.compile("Tenant")).click()
        visitor.page.get_by_role("option", name="Globex", exact=True).click()
        expect(visitor.page.get_by_text("4 shown. That is all.")).to_be_visible()
        visitor.open("API clients")
        expect(visitor.page.get_by_role("button", name="New client")).to_have_count(0)


class TestKeysAndSecrets:
    """With something in them, in light and dark, on a desk and on a phone."""

    def test_a_key_that_signs_is_made_and_opened(self, enter: Enter):
        visitor = enter().log_in()
        visitor.target.inside()
        page = visitor.page
        visitor.open("Keys")
        page.get_by_role("button", name="New key").click()
        page.get_by_role("textbox", name="Name").fill("hooks")
        page.get_by_role("combobox", name=re.compile("What it does")).click()
        page.get_by_role("option", name=re.compile("^ed25519")).click()
        visitor.survey("keys-new")
        page.get_by_role("button", name="Create key").click()
        expect(page.get_by_text("hooks is made.")).to_be_visible()
        page.get_by_role("button", name="hooks").click()
        expect(page.get_by_role("heading", name="Versions")).to_be_visible()
        expect(page.get_by_text("BEGIN PUBLIC KEY")).to_be_visible()
        visitor.survey("keys-one")
        visitor.check_headings("a key")
        assert (visitor.complaints, visitor.external) == ([], [])

    def test_a_rewrap_is_begun_and_paused(self, enter: Enter):
        visitor = enter().log_in()
        platform, page = visitor.target.inside(), visitor.page
        visitor.open("Data keys")
        page.get_by_role("button", name="Rotate now").click()
        page.get_by_role("button", name="Seal with a new key").click()
        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_role("button", name="Go on")).to_be_visible()
        assert platform.get("rewraps")["items"][0]["state"] == "paused"
        visitor.survey("data-keys-paused")
        visitor.check_headings("a rewrap")
        assert (visitor.complaints, visitor.external) == ([], [])

    def test_a_person_is_erased_and_the_walk_is_seen(self, enter: Enter):
        visitor = enter().log_in()
        platform, page = visitor.target.inside(), visitor.page
        visitor.open("Erased people")
        page.get_by_label("Address", exact=True).fill("gone@example.test")
        page.get_by_role("button", name="Erase", exact=True).click()
        page.get_by_role("button", name="Erase for good").click()
        expect(page.get_by_text("is being erased: the certificate comes")).to_be_visible()
        expect(page.get_by_text("Being erased", exact=True)).to_be_visible()
        assert platform.get("subjects/erasures")["items"][0]["state"] == "running"
        visitor.survey("erasing")
        visitor.check_headings("an erasure")
        assert (visitor.complaints, visitor.external) == ([], [])

    def test_a_secret_is_shown_until_it_is_put_away(self, enter: Enter):
        visitor = enter().log_in()
        visitor.target.inside()
        page = visitor.page
        visitor.open("Secrets")
        page.get_by_role("button", name="smtp", exact=True).click()
        page.get_by_role("button", name="Show the value").click()
        page.get_by_role("button", name="Show it").click()
        expect(page.get_by_text("seeded-7c1")).to_be_visible()
        visitor.survey("secrets-shown")
        page.get_by_role("button", name="I have copied it").click()
        expect(page.get_by_text("seeded-7c1")).to_have_count(0)
        assert (visitor.complaints, visitor.external) == ([], [])


class TestLogs:
    """A shop's lines, from the first on; in light and dark, on a desk and on a phone."""

    def send(self, visitor: Visitor, *lines: dict[str, Any]) -> None:
        served = visitor.target.inside().served
        head = {"Authorization": f"Bearer {served.token()}"}
        with httpx.Client(base_url=served.base_url, headers=head) as http:
            make_logs(http, lines)

    def some(self) -> Iterator[dict[str, Any]]:
        now = datetime.now(UTC)
        levels = ("info", "info", "debug", "info", "warn", "info", "error", "trace")
        for number in range(120):
            level = "fatal" if number == 60 else levels[number % len(levels)]
            yield {
                "@timestamp": (now - timedelta(seconds=3300 - 26 * number)).isoformat(),
                "level": level,
                "source": ("shop", "shop", "warehouse", "billing")[number % 4],
                "message": f"payment {number} failed: card declined"
                if level in {"error", "fatal"}
                else f"order {number} taken by the till at the door",
                "trace.id": "4bf92f35" * 4,
                "execution.id": "4711",
                "order": {"id": number, "total": "12.50"},
            }

    def test_are_narrowed_opened_followed_and_kept(self, enter: Enter):
        visitor = enter().log_in()
        page = visitor.page
        visitor.target.inside()
        visitor.open("Logs")
        expect(page.get_by_text("No line yet")).to_be_visible()
        visitor.survey("logs-empty")
        self.send(visitor, *self.some())
        page.reload()
        visitor.expect_page("Logs")
        expect(page.get_by_role("heading", name=re.compile("^Lines 120 in all"))).to_be_visible()
        visitor.survey("logs")
        visitor.check_headings("logs")
        page.get_by_role("radio", name="Patterns", exact=True).click()
        expect(page.get_by_role("button", name="payment <n> failed: card declined")).to_be_visible()
        visitor.survey("logs-patterns")
        visitor.check_headings("patterns of logs")
        page.get_by_role("radio", name="Lines", exact=True).click()
        expect(
            page.get_by_role("button", name=re.compile(r"^order \d+ taken")).first
        ).to_be_visible()
        visitor.settle()
        page.get_by_role("heading", name="Logs", exact=True).scroll_into_view_if_needed()
        chart = page.locator("[data-testid=stPlotlyChart] .nsewdrag").first
        area = chart.bounding_box()
        assert area is not None
        middle = area["y"] + area["height"] / 2
        page.mouse.move(area["x"] + area["width"] * 0.3, middle)
        page.mouse.down()
        page.mouse.move(area["x"] + area["width"] * 0.6, middle, steps=8)
        page.mouse.up()
        expect(page).to_have_url(re.compile(r"[?&]after=.*[?&]before="))
        expect(page.get_by_label("From", exact=True)).to_have_value(re.compile(r"^20\d\d-"))
        visitor.settle()
        visitor.survey("logs-narrowed")
        address = page.url
        page.get_by_role("button", name=re.compile(r"^payment \d+ failed")).first.click()
        expect(page.get_by_role("heading", name="One line")).to_be_visible()
        visitor.survey("logs-one")
        visitor.check_headings("one line")
        page.get_by_role("button", name="Close").click()
        expect(page).to_have_url(address)
        page.get_by_test_id("stCheckbox").filter(has_text="Live").locator("label").click()
        expect(page.get_by_text("As of").first).to_be_visible()
        self.send(visitor, {"message": "said just now", "level": "warn", "source": "till"})
        expect(page.get_by_role("button", name="said just now")).to_be_visible()
        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_role("button", name="Go on")).to_be_visible()
        visitor.survey("logs-live")
        page.get_by_role("button", name="Settings").click()
        page.get_by_role("button", name="Add a rule").click()
        page.get_by_role("button", name="Add an expression").click()
        expect(page.get_by_label("Expression", exact=True)).to_be_visible()
        visitor.survey("logs-settings")
        visitor.check_headings("settings of logs")
        assert (visitor.complaints, visitor.external) == ([], [])


class TestDashboards:
    """The list and one that ships; in light and dark, on a desk and on a phone."""

    def test_one_that_ships_is_opened(self, enter: Enter):
        visitor = enter().log_in()
        page = visitor.page
        visitor.open("Dashboards")
        expect(page.get_by_text("No dashboard yet")).to_be_visible()
        visitor.survey("dashboards")
        page.get_by_role("button", name="API", exact=True).click()
        expect(page.get_by_role("heading", name="Requests a second")).to_be_visible()
        expect(page.get_by_test_id("stPlotlyChart")).to_have_count(4)
        visitor.settle()
        visitor.survey("dashboards-api")
        visitor.check_headings("a dashboard")
        assert (visitor.complaints, visitor.external) == ([], [])


class TestTraces:
    def test_is_one_click_from_a_mail_and_from_its_job(self, enter: Enter):
        visitor = enter().log_in()
        inside, page = visitor.target.inside(), visitor.page
        head = {"Authorization": f"Bearer {inside.served.token()}"}
        with httpx.Client(base_url=inside.served.base_url, headers=head) as http:
            trace_id = make_trace(http)
            http.headers["traceparent"] = f"00-{trace_id}-{'ab' * 8}-01"
            mail = {"to": ["ada@example.test"], "subject": "Traced to its end", "text": "Hi"}
            http.post("/api/v1/emails", json=mail).raise_for_status()
        wait_until(
            lambda: any(
                one["trace_id"] == trace_id and one["spans"] > 3
                for one in inside.get("traces")["items"]
            ),
            "the trace",
        )
        for detour in (False, True):
            visitor.open("E-mails")
            page.get_by_role("button", name="Traced to its end", exact=True).click()
            if detour:
                page.get_by_role("link", name="Open its job").click()
                expect(page.get_by_role("heading", name="email.send", level=1)).to_be_visible()
            page.get_by_role("button", name="Open its trace").click()
            expect(page.get_by_role("heading", name="Waterfall")).to_be_visible()
            expect(page).to_have_url(re.compile(rf"/traces\?.*id={trace_id}"))
            visitor.settle()
        visitor.survey("trace-of-a-mail")
        visitor.check_headings("a mail's trace")
        assert (visitor.complaints, visitor.external) == ([], [])


class TestTenant:
    """The address says for whom one acts, and whoever comes by it acts for that tenant."""

    def at(self, visitor: Visitor, path: str, tenant: str = "globex") -> None:
        expect(visitor.page).to_have_url(f"{visitor.target.url}/{path}?tenant={tenant}")

    def choose(self, visitor: Visitor, name: str) -> None:
        visitor.page.get_by_role("combobox", name=re.compile("Tenant")).click()
        visitor.page.get_by_role("option", name=name, exact=True).click()

    def test_is_kept_by_links_by_reload_and_in_a_new_tab(self, enter: Enter):
        visitor = enter().log_in()
        visitor.target.inside()
        visitor.open("E-mails")
        self.at(visitor, "emails", "demo")
        self.choose(visitor, "Globex")
        expect(visitor.page.get_by_text("4 shown. That is all.")).to_be_visible()
        self.at(visitor, "emails")
        visitor.open("Jobs")
        self.at(visitor, "jobs")
        visitor.page.reload()
        visitor.expect_page("Jobs")
        self.at(visitor, "jobs")
        link = visitor.page.get_by_role("link", name="E-mails", exact=True)
        other = visitor.page.context.new_page()
        other.set_default_timeout(WAIT)
        other.goto(visitor.page.evaluate("link => link.href", link.element_handle()))
        expect(other.get_by_text("4 shown. That is all.")).to_be_visible()
        expect(other).to_have_url(f"{visitor.target.url}/emails?tenant=globex")

    def test_is_followed_by_the_browsers_way_back_and_forth(self, enter: Enter):
        visitor = enter().log_in()
        visitor.target.inside()
        visitor.open("E-mails")
        self.choose(visitor, "Globex")
        expect(visitor.page.get_by_text("4 shown. That is all.")).to_be_visible()
        visitor.page.go_back()
        self.at(visitor, "emails", "demo")
        expect(visitor.page.get_by_text("Page 1, 50 shown.")).to_be_visible()
        visitor.page.go_back()
        visitor.expect_page("Overview")
        visitor.page.go_forward()
        visitor.page.go_forward()
        self.at(visitor, "emails")
        expect(visitor.page.get_by_text("4 shown. That is all.")).to_be_visible()

    def test_outlives_log_out_and_log_in(self, enter: Enter):
        visitor = enter()
        visitor.target.inside()
        visitor.page.goto(f"{visitor.target.url}/emails?tenant=globex")
        visitor.page.get_by_role("button", name="Log in").click()
        visitor.give_password()
        expect(visitor.page.get_by_text("4 shown. That is all.")).to_be_visible()
        self.at(visitor, "emails")
        visitor.open("Jobs")
        visitor.page.get_by_role("button", name="Log out").click()
        expect(visitor.page.get_by_role("button", name="Log in")).to_be_visible()
        self.at(visitor, "jobs")
        visitor.page.get_by_role("button", name="Log in").click()
        visitor.give_password()
        visitor.expect_page("Jobs")
        self.at(visitor, "jobs")

    def test_that_is_not_ones_own_is_left_by_choosing_another(self, enter: Enter):
        visitor = enter().log_in()
        visitor.target.inside()
        visitor.page.goto(f"{visitor.target.url}/emails?tenant=initech&id=1")
        page = visitor.page
        page.get_by_role("combobox", name=re.compile("Your tenants")).click()
        page.get_by_role("option", name="Globex", exact=True).click()
        page.get_by_role("button", name="Open Globex").click()
        expect(page.get_by_text("4 shown. That is all.")).to_be_visible()
        self.at(visitor, "emails")


class TestHostileMessage:
    def test_neither_runs_nor_calls_home(self, enter: Enter):
        visitor = enter().log_in()
        found = visitor.target.inside().get("emails", state="accepted", limit=200)["items"]
        email = next(one for one in found if one["subject"] == HOSTILE_SUBJECT)
        visitor.page.goto(f"{visitor.target.url}/emails?tenant=demo&id={email['id']}")
        visitor.page.get_by_role("button", name="Show content").click()
        frame = visitor.page.frame_locator("iframe[title='The message as HTML']")
        expect(frame.get_by_text("Your invoice")).to_be_visible()
        visitor.settle()
        frame.get_by_role("link", name="View online").click()
        assert visitor.page.title() != "owned"
        assert visitor.page.locator("iframe").first.get_attribute("sandbox") == ""
        # The tracking image was asked for by the message and refused by the browser itself.
        assert set(visitor.external) == set(visitor.blocked)
        assert len(visitor.page.context.pages) == 1
