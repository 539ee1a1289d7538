"""The router: who sees what, how a login ends, what failure looks like."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.app import ENTRIES
from tests.dashboard.conftest import ADA, APP, VIC, Running, Screen
from tests.support.factories import make_member

pytestmark = pytest.mark.page


def open_signed_out() -> Screen:
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.user = {"is_logged_in": False}
    app.run()
    assert not app.exception
    return Screen(app)


def leave_globex(platform: Running) -> None:
    """Take Ada's membership of Globex away."""
    http = platform.api("grace@example.test", platform.seeds.globex_id)
    members = http.get("/api/v1/members").json()["items"]
    ada = next(one for one in members if one["email"] == ADA)
    http.delete(f"/api/v1/members/{ada['id']}").raise_for_status()


class TestSignedOut:
    def test_offers_the_login_and_nothing_else(self, configured, platform):
        screen = open_signed_out()
        assert screen.text.startswith("Email Sender Log in to see")
        assert [button.label for button in screen.app.button] == ["Log in"]
        assert platform.wire.calls == []


class TestPages:
    @pytest.mark.parametrize(
        ("person", "absent"),
        [
            (ADA, []),
            (
                VIC,
                [
                    "clients",
                    "webhooks",
                    "api_keys",
                    "tenants",
                    "users",
                    "signing_keys",
                    "identity_providers",
                    "data_keys",
                    "erasures",
                    "limits",
                    "platform_limits",
                    "access_reviews",
                    "secrets",
                    "audit_stream",
                    "secret_grants",
                    "plans",
                    "workers",
                    "tenant_certificates",
                    "platform_clients",
                    "platform_api_keys",
                ],
            ),
        ],
    )
    def test_are_those_of_the_role(self, visit, person, absent):
        screen = visit(person=person)
        for view in (path.stem for path in (APP.parent / "views").glob("[!_]*.py")):
            if view in absent:
                # A page that is hidden and not absent would open here.
                with pytest.raises(ValueError, match=view):
                    screen.app.switch_page(f"views/{view}.py")
            else:
                screen.app.switch_page(f"views/{view}.py").run()
                assert not screen.app.exception
                assert "es-problem" not in screen.markup

    def test_explain_a_role_that_opens_none(self, visit, platform):
        platform.wire.alter("GET", "/api/v1/me", lambda me: {**me, "permissions": []})
        assert "Nothing to see yet" in visit(person=VIC).text


class TestSidebar:
    def test_says_who_is_logged_in_and_as_what(self, visit):
        assert "First admin owner, platform administrator" in visit().text

    def test_names_the_only_tenant_without_a_choice(self, visit):
        screen = visit(person=VIC)
        groups = "Alerting Mail Work Audit trail People and access"
        assert f"Tenant Demo {groups} Vic Viewer viewer" in screen.text
        assert not screen.app.sidebar.selectbox

    def test_groups_the_pages_and_leaves_out_groups_without_any(self, visit):
        assert "Mail Work Audit trail People and access Platform First admin" in visit().text
        titles = [link.proto.label for link in visit().app.sidebar.get("page_link")]
        assert titles == ["Nothing fires", *(entry.title for entry in ENTRIES)]

    def test_rings_when_something_fires(self, visit, platform):
        body = {"name": "Disk", "severity": "critical"}
        platform.api().post("/api/v1/alerts", json=body).raise_for_status()
        bell = visit().app.sidebar.get("page_link")[0].proto
        assert bell.label == "1 firing, 1 not seen to"
        platform.wire.fail("GET", "/api/v1/alerts-firing", 503, "unavailable", "It restarts.")
        screen = visit()
        assert screen.app.sidebar.get("page_link")[0].proto.label == "Alerts: not known"
        assert "es-problem" not in screen.markup

    def test_names_each_group_once(self):
        groups = [group for group, _ in groupby(entry.group for entry in ENTRIES)]
        assert len(groups) == len(set(groups))

    def test_switches_the_tenant_by_a_new_exchange(self, visit, platform):
        screen = visit("emails")
        screen.app.text_input(key="emails-recipient").set_value(ADA).run()
        globex = platform.seeds.globex_id
        screen.app.sidebar.selectbox(key="tenant").select(globex).run()
        assert platform.wire.called("POST", "/oauth/token")[-1].body["tenant"] == globex
        assert len(screen.rows("emails")) == 4
        assert screen.app.text_input(key="emails-recipient").value == ""
        assert "First admin operator" in screen.text

    def test_stays_where_it_was_when_the_switch_is_refused(self, visit, platform):
        screen = visit("emails")
        globex = platform.seeds.globex_id
        leave_globex(platform)
        screen.app.sidebar.selectbox(key="tenant").select(globex).run()
        assert "Not switched: You are not a member of this tenant." in screen.text
        assert screen.address == {"tenant": "demo"}
        assert screen.app.sidebar.selectbox(key="tenant").value == platform.seeds.demo_id
        assert len(screen.rows("emails")) == 50


class TestTenantInTheAddress:
    @pytest.mark.parametrize("view", [Path(entry.file).stem for entry in ENTRIES])
    def test_is_on_every_page(self, visit, view):
        assert visit(view, tenant="demo").address == {"tenant": "demo"}
        assert visit(view).address == {"tenant": "demo"}

    def test_is_in_every_link_of_the_sidebar(self, visit):
        links = visit("emails", tenant="globex").app.sidebar.get("page_link")
        assert len(links) > 3
        assert {link.proto.query_string for link in links} == {"tenant=globex"}

    def test_decides_for_whom_one_acts(self, visit, platform):
        screen = visit("emails", tenant="globex")
        exchange = platform.wire.called("POST", "/oauth/token")[-1]
        assert exchange.body["tenant"] == platform.seeds.globex_id
        assert len(platform.called("GET", "emails")) == 1
        assert len(screen.rows("emails")) == 4
        assert screen.app.sidebar.selectbox(key="tenant").value == platform.seeds.globex_id
        assert "First admin operator" in screen.text

    def test_is_that_of_the_chosen_tenant_and_of_nothing_of_the_other(self, visit, platform):
        screen = visit("emails", id=platform.items("emails")[0]["id"])
        screen.app.sidebar.selectbox(key="tenant").select(platform.seeds.globex_id).run()
        assert screen.address == {"tenant": "globex"}
        assert len(screen.rows("emails")) == 4

    def test_is_followed_on_the_way_back(self, visit, platform):
        screen = visit("emails")
        screen.app.sidebar.selectbox(key="tenant").select(platform.seeds.globex_id).run()
        screen.app.text_input(key="emails-recipient").set_value("hank@example.test").run()
        screen.app.query_params["tenant"] = "demo"
        screen.app.run()
        assert screen.app.sidebar.selectbox(key="tenant").value == platform.seeds.demo_id
        assert screen.app.text_input(key="emails-recipient").value == ""
        assert len(screen.rows("emails")) == 50

    def test_stays_while_one_thing_is_shown_and_left(self, visit, platform):
        email = platform.items("emails", state="bounced")[0]
        screen = visit("emails", tenant="demo", id=email["id"])
        assert screen.address == {"tenant": "demo", "id": email["id"]}
        screen.follow("Open its job")
        assert screen.address == {"tenant": "demo", "id": email["job_id"]}
        screen.click("jobs-back")
        assert screen.address == {"tenant": "demo"}

    @pytest.mark.parametrize("slug", ["globex", "nobody", "<b>"])
    def test_of_another_is_told_and_not_replaced(self, visit, platform, slug):
        screen = visit("emails", person=VIC, tenant=slug)
        assert f"You are not a member of {slug} , which this address names" in screen.text
        assert "<b><b>" not in screen.markup
        assert not platform.called("GET", "emails")
        assert not screen.app.sidebar.get("page_link")
        assert screen.address == {"tenant": slug}
        screen.click("open-other-tenant")
        assert screen.address == {"tenant": "demo"}
        assert len(screen.rows("emails")) == 50

    def test_of_a_new_membership_opens_without_a_new_login(self, visit, platform):
        screen = visit("emails", person=VIC)
        make_member(
            platform.api("grace@example.test", platform.seeds.globex_id),
            VIC, "Vic Viewer", "viewer",
        )  # fmt: skip
        screen.app.query_params["tenant"] = "globex"
        screen.app.run()
        assert len(screen.rows("emails")) == 4

    def test_of_a_lost_membership_shows_nothing_of_another(self, visit, platform):
        screen = visit("emails", tenant="globex")
        leave_globex(platform)
        screen.app.run()
        assert "You are not a member of this tenant." in screen.text
        assert screen.component("emails") is None
        assert screen.address == {"tenant": "globex"}

    def test_of_a_membership_lost_while_elsewhere_is_told(self, visit, platform):
        screen = visit("emails")
        leave_globex(platform)
        screen.app.query_params["tenant"] = "globex"
        screen.app.run()
        assert "You are not a member of globex" in screen.text
        assert screen.component("emails") is None


class TestLogin:
    def test_ends_with_the_session_at_the_provider(self, visit, platform):
        screen = visit("emails")
        platform.log_out(ADA)
        screen.app.run()
        assert "Your login has ended" in screen.text
        assert [button.label for button in screen.app.button] == ["Log in"]
        assert "session" not in screen.app.session_state

    def test_survives_a_token_that_died_early(self, visit, platform):
        screen = visit("emails")
        platform.wire.fail(
            "GET", "/api/v1/emails", 401, "unauthenticated", "Log in first.", times=1
        )
        screen.app.run()
        assert len(screen.rows("emails")) == 50
        assert len(platform.wire.called("POST", "/oauth/token")) == 2

    def test_shows_why_when_the_platform_cannot_answer(self, visit, platform):
        platform.wire.fail("GET", "/api/v1/me", 503, "unavailable", "The platform is restarting.")
        screen = visit()
        assert "The platform is restarting." in screen.text
        assert "request req-on-purpose" in screen.text
        assert [button.label for button in screen.app.button] == ["Try again", "Log out"]
        platform.wire.clear()
        screen.click("try-again")
        assert "First admin" in screen.text


class TestSuspended:
    def test_says_why_and_leads_to_another_tenant(self, visit, platform):
        globex = platform.seeds.globex_id
        why = {"reason": "The invoice of October is unpaid"}
        platform.api().post(
            f"/api/v1/platform/tenants/{globex}/suspend", json=why
        ).raise_for_status()
        screen = visit("emails", tenant="globex")
        assert "The invoice of October is unpaid" in screen.text
        assert "Nothing is lost." in screen.text
        screen.click("open-other-tenant")
        assert screen.address["tenant"] == "demo"
        assert "Nothing is lost." not in screen.text


class TestProblem:
    def test_says_a_long_wait_in_minutes(self, visit, platform):
        platform.wire.fail(
            "GET", "/api/v1/jobs", 429, "rate_limited", "Too many requests", retry_after=597
        )
        assert "Too many requests That is in about 10 minutes." in visit("jobs").text

    def test_of_a_lost_permission_takes_the_page_away_on_the_next_run(self, visit, platform):
        screen = visit("members", person=VIC)
        platform.give_role(VIC, "workflow")
        screen.app.run()
        assert "Code forbidden" in screen.text
        screen.app.run()
        assert "workflow" in screen.text
        assert "Code forbidden" not in screen.text
