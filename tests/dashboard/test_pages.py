"""List pages as declarations: what they refuse, and whom they call by name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import pages, state
from dashboard.client import Api, models
from tests.dashboard.conftest import VIC

NOTHING: dict[str, Any] = {"body": models.MemberPatch, "call": Api.set_member_role, "said": ""}


def page_of(**more):
    given = {
        "key": "clients",
        "of": models.ClientOut,
        "title": "API clients",
        "lead": "",
        "noun": "client",
        "nothing": "",
        "fetch": Api.list_clients,
        "columns": (pages.Column("name", "Name", "strong"),),
    }
    return pages.ListPage(**{**given, **more})


class TestListPage:
    @pytest.mark.parametrize(
        "more",
        [
            {"columns": (pages.Column("nmae", "Name"),)},
            {"facts": (pages.Column("secret", "Secret"),)},
            {"export": ("id", "client_secret")},
            {"edits": (pages.Edit(field=pages.Input("nmae", "Name"), **NOTHING),)},
        ],
    )
    def test_refuses_a_field_that_the_api_does_not_have(self, more):
        with pytest.raises(ValueError, match=r"ClientOut has no (nmae|secret|client_secret)"):
            page_of(**more)

    def test_exports_what_it_shows_unless_it_says_otherwise(self):
        computed = pages.Column("disabled", "State", "badge", lambda _: "active")
        invented = pages.Column("took", "Took", "number", lambda _: "1 s")
        columns = (pages.Column("name", "Name"), computed, invented)
        assert page_of(columns=columns).export == ("id", "name", "disabled")

    def test_knows_fields_by_their_names_on_the_wire(self):
        with_sender = page_of(of=models.EmailOut, columns=(pages.Column("from_", "From"),))
        assert with_sender.export == ("id", "from")


@pytest.mark.page
class TestEdit:
    def test_changes_a_text_of_the_opened_row(self, monkeypatch):
        one = SimpleNamespace(id="1", name="Ada")
        monkeypatch.setattr(
            state, "current", lambda: SimpleNamespace(api=None, can=lambda what: what == "it")
        )
        edit = pages.Edit(
            field=pages.Input("name", "Name"),
            body=msgspec.defstruct("Renamed", [("name", str)]),
            call=lambda _, given, body: setattr(one, "name", f"{body.name}{given}"),
            said="{0} was {1}.",
        )
        page = page_of(
            fetch=lambda *_, **__: SimpleNamespace(items=[one], next_cursor=None),
            write="it",
            edits=(edit,),
        )

        def script(draw, page):
            draw(page)

        app = AppTest.from_function(script, args=(pages.draw, page), default_timeout=60)
        app.session_state["clients-open"] = "1"
        app.run()
        assert app.text_input(key="clients-name-1").value == "Ada"
        assert app.button(key="clients-name-save").disabled
        app.text_input(key="clients-name-1").set_value(" ").run()
        assert app.button(key="clients-name-save").disabled
        app.text_input(key="clients-name-1").set_value("Grace").run()
        app.button(key="clients-name-save").click().run()
        assert not app.exception
        assert one.name == "Grace1"


@pytest.mark.page
class TestClientsPage:
    def test_tells_a_disabled_client_from_an_active_one(self, visit, platform):
        def disabled(page):
            first, *others = page["items"]
            return {**page, "items": [{**first, "disabled": True}, *others]}

        platform.wire.alter("GET", "/api/v1/clients", disabled)
        shown = [row["disabled"] for row in visit("clients").rows("clients")]
        assert shown == ["disabled", "active", "active"]


@pytest.mark.page
class TestJobsPage:
    def test_says_that_a_running_job_was_asked_to_stop(self, visit, platform):
        job = platform.items("jobs", state="running")[0]
        platform.api().post(f"/api/v1/jobs/{job['id']}/cancel").raise_for_status()
        screen = visit("jobs", id=job["id"])
        assert "running Attempt 1 is running, asked to stop" in screen.text
        assert not screen.has_button("jobs-cancel-start")


@pytest.mark.page
class TestNames:
    def test_stand_for_who_did_something_and_for_what_they_did_it_to(self, visit, platform):
        screen = visit("audit")
        screen.app.text_input(key="audit-action").set_value("client.created").run()
        row = screen.rows("audit")[0]
        assert (row["actor"], row["target"]) == ("First admin", "Order confirmations")
        record = platform.items("audit", action="client.created")[0]
        screen.app.session_state["audit-open"] = record["id"]
        screen.app.run()
        assert f"Actor First admin ({record['actor']})" in screen.text
        assert f"Target Order confirmations ({record['target']})" in screen.text

    def test_are_asked_for_once_and_not_with_every_page(self, visit, platform):
        screen = visit("audit")
        screen.app.run()
        screen.app.switch_page("views/api_keys.py").run()
        assert len(platform.called("GET", "members")) == 1

    def test_are_left_out_where_a_role_may_not_ask(self, visit, platform):
        screen = visit("audit", person=VIC)
        screen.app.text_input(key="audit-action").set_value("client.created").run()
        row = screen.rows("audit")[0]
        assert row["actor"] == "First admin"
        assert row["target"].startswith("client:")
        assert not platform.called("GET", "clients")

    def test_are_no_reason_for_a_page_to_fail(self, visit, platform):
        for path in ("members", "platform/users"):
            platform.wire.fail(
                "GET", f"/api/v1/{path}", 503, "unavailable", "The database is away."
            )
        screen = visit("audit")
        assert screen.rows("audit")[0]["actor"].startswith("user:")
        assert "es-problem" not in screen.markup

    def test_stand_in_a_message_and_a_key_too(self, visit, platform):
        screen = visit("api_keys")
        screen.app.session_state["api-keys-open"] = platform.items("api-keys")[0]["id"]
        screen.app.run()
        assert "Created by First admin (user:" in screen.text
        email = platform.items("emails")[0]
        assert "Created by First admin" in visit("emails", id=email["id"]).text
