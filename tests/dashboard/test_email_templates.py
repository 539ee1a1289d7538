"""Templates: the list, and one as it is written and seen."""

from __future__ import annotations

import json
import re

import pytest

from tests.dashboard.conftest import ADA, VIC

pytestmark = pytest.mark.page

TEMPLATES = "/api/v1/email-templates"
WELCOME = {
    "subject": "Hello {{ name }}",
    "text": "Dear {{ name }}{% if vip %}!{% endif %}",
    "html": "<p>Dear {{ name }}</p>",
}


def keep(platform, name: str = "welcome", **more):
    """Save a template past the console."""
    platform.api().put(f"{TEMPLATES}/{name}", json=WELCOME | more).raise_for_status()


def field(screen, name: str):
    """A field of the editor; the rest of its key changes with each version."""
    every = (*screen.app.text_input, *screen.app.text_area)
    (found,) = (one for one in every if re.fullmatch(rf"template-{name}(-\d+)?", one.key or ""))
    return found


def shown(screen) -> str:
    """The document of the preview's frame; empty where there is no frame."""
    data = screen.component("template-html")
    return "" if data is None else str(data["document"])


class TestList:
    def test_shows_all_and_opens_one(self, visit, platform):
        keep(platform)
        screen = visit("email_templates")
        (row,) = [row for row in screen.rows("templates") if row["name"] == "welcome"]
        assert (row["id"], row["parts"], row["subject"]) == (
            "welcome",
            "text and HTML",
            "Hello {{ name }}",
        )
        screen = visit("email_templates", id="welcome")
        assert field(screen, "subject").value == "Hello {{ name }}"

    def test_offers_nothing_new_to_a_viewer(self, visit, platform):
        keep(platform)
        assert not visit("email_templates", person=VIC).has_button("templates-new")
        screen = visit("email_templates", person=VIC, id="welcome")
        assert field(screen, "text").disabled
        assert not screen.has_button("template-save")
        assert not platform.called("POST", "email-templates/preview")

    def test_of_an_unknown_name_says_so(self, visit):
        assert "No such template" in visit("email_templates", id="nobody").text


class TestPreview:
    def test_names_the_variables_and_waits_for_those_it_needs(self, visit, platform):
        keep(platform)
        screen = visit("email_templates", id="welcome")
        assert "name missing" in screen.text
        assert shown(screen) == ""
        screen.click("template-fill")
        assert json.loads(field(screen, "values").value) == {"name": "name", "vip": "vip"}
        assert "Subject Hello name" in screen.text
        assert shown(screen).endswith("<p>Dear name</p>")
        assert [code.value for code in screen.app.code] == ["Dear name!"]

    def test_is_of_what_is_written_and_not_of_what_is_saved(self, visit, platform):
        keep(platform)
        screen = visit("email_templates", id="welcome")
        field(screen, "subject").set_value("Bye")
        field(screen, "text").set_value("Gone")
        field(screen, "html").set_value("").run()
        assert "Subject Bye" in screen.text
        assert [code.value for code in screen.app.code] == ["Gone"]
        assert shown(screen) == ""
        assert "It uses no variables." in screen.text
        assert platform.get("email-templates/welcome")["subject"] == "Hello {{ name }}"

    def test_escapes_what_is_filled_into_html(self, visit, platform):
        keep(platform)
        screen = visit("email_templates", id="welcome")
        field(screen, "values").set_value('{"name": "<b>x</b>", "vip": 0}').run()
        assert shown(screen).endswith("<p>Dear &lt;b&gt;x&lt;/b&gt;</p>")

    @pytest.mark.parametrize(
        ("values", "said"), [("{", "This is no JSON"), ("[1]", "This must be an object")]
    )
    def test_says_what_is_wrong_with_the_test_data(self, visit, platform, values, said):
        keep(platform)
        screen = visit("email_templates", id="welcome")
        field(screen, "values").set_value(values).run()
        assert said in screen.text

    def test_says_what_is_wrong_with_the_template(self, visit, platform):
        keep(platform)
        screen = visit("email_templates", id="welcome")
        field(screen, "text").set_value("{% if %}").run()
        assert "email.template_invalid" in screen.text


class TestChange:
    def test_saves_and_keeps_one_at_it(self, visit, platform):
        keep(platform)
        screen = visit("email_templates", id="welcome")
        field(screen, "subject").set_value("Welcome").run()
        screen.click("template-save")
        assert screen.said == "welcome is saved."
        found = platform.get("email-templates/welcome")
        assert (found["subject"], found["text"]) == ("Welcome", WELCOME["text"])
        assert field(screen, "subject").value == "Welcome"

    def test_does_not_overwrite_what_somebody_else_saved(self, visit, platform):
        keep(platform)
        screen = visit("email_templates", id="welcome")
        keep(platform, subject="Theirs")
        field(screen, "subject").set_value("Mine").run()
        screen.click("template-save")
        assert "email.template_changed" in screen.text
        assert field(screen, "subject").value == "Mine"
        assert platform.get("email-templates/welcome")["subject"] == "Theirs"
        screen.click("template-theirs")
        assert field(screen, "subject").value == "Theirs"

    def test_keeps_what_was_written_when_it_is_refused(self, visit, platform):
        keep(platform)
        screen = visit("email_templates", id="welcome")
        field(screen, "html").set_value("{{ f() }}").run()
        screen.click("template-save")
        assert "nothing can be called" in screen.text
        assert "es-field-error" in screen.markup
        assert field(screen, "html").value == "{{ f() }}"

    def test_makes_a_new_one(self, visit, platform):
        screen = visit("email_templates").click("templates-new")
        field(screen, "name").set_value("invoice")
        field(screen, "subject").set_value("Invoice {{ number }}").run()
        screen.click("template-save")
        found = platform.get("email-templates/invoice")
        assert (found["subject"], found["html"]) == ("Invoice {{ number }}", None)
        assert screen.address == {"tenant": "demo", "id": "invoice"}

    def test_does_not_replace_one_of_the_same_name_by_a_new_one(self, visit, platform):
        keep(platform)
        screen = visit("email_templates").click("templates-new")
        field(screen, "name").set_value("welcome")
        field(screen, "subject").set_value("Another").run()
        screen.click("template-save")
        assert "There is a template of this name already." in screen.text
        assert platform.get("email-templates/welcome")["subject"] == WELCOME["subject"]

    def test_deletes_after_one_question(self, visit, platform):
        keep(platform)
        screen = visit("email_templates", id="welcome").click("template-delete-start")
        assert "workflows that send by it are refused" in screen.text
        screen.click("template-delete-yes")
        assert "welcome" not in [one["name"] for one in platform.items("email-templates")]
        assert screen.address == {"tenant": "demo"}


class TestSend:
    def test_sends_the_preview_to_oneself(self, visit, platform):
        keep(platform)
        screen = visit("email_templates", id="welcome")
        field(screen, "values").set_value('{"name": "Ada", "vip": 1}').run()
        screen.app.text_input(key="template-send-to").set_value(ADA).run()
        screen.click("template-send-now")
        (call,) = platform.called("POST", "emails")
        assert call.body["subject"] == "Hello Ada"
        assert (call.body["to"], call.body["text"]) == ([ADA], "Dear Ada!")
        assert screen.said == f"On its way to {ADA}: Hello Ada"

    def test_waits_for_the_preview(self, visit, platform):
        keep(platform)
        screen = visit("email_templates", id="welcome")
        assert screen.app.button(key="template-send-now").disabled
