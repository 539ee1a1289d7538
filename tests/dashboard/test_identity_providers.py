"""Identity providers: made, changed, checked and deleted; no secret is ever shown."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page


def made(platform):
    body = {
        "name": "Acme",
        "issuer": "https://login.acme.invalid",
        "client_id": "email-sender",
        "client_secret": "s3cret",
        "roles_by_group": {"mail-admins": "admin", "mail": "viewer"},
        "domain": "acme.invalid",
    }
    answer = platform.api().post("/api/v1/identity-providers", json=body)
    assert answer.is_success, answer.text
    return answer.json()


def field(screen, label):
    (one,) = [one for one in [*screen.app.text_input, *screen.app.text_area] if one.label == label]
    return one


class TestIdentityProviders:
    def test_says_what_there_is_not(self, visit):
        screen = visit("identity_providers")
        assert "No provider yet" in screen.text

    def test_makes_one_with_roles_by_group(self, visit, platform):
        screen = visit("identity_providers").click("identity-providers-new")
        for label, value in (
            ("Name", "Acme"),
            ("Issuer", "https://login.acme.invalid"),
            ("Client ID", "email-sender"),
            ("Client secret", "s3cret"),
            ("Mail domain", "Acme.invalid"),
            ("Roles by group", "mail-admins = admin\nmail=viewer"),
        ):
            field(screen, label).set_value(value)
        screen.press("Save provider")
        (one,) = platform.items("identity-providers")
        assert one["roles_by_group"] == {"mail-admins": "admin", "mail": "viewer"}
        assert (one["domain"], one["domain_state"]) == ("acme.invalid", "claimed")
        assert f"Put a TXT record at _email-sender.acme.invalid that says {one['proof_value']}" in (
            screen.text
        )
        assert "s3cret" not in screen.markup

    def test_sends_nothing_that_is_not_whole(self, visit, platform):
        screen = visit("identity_providers").click("identity-providers-new")
        field(screen, "Roles by group").set_value("admins")
        screen.press("Save provider")
        assert "lines like a = b" in screen.app.warning[0].value
        assert not platform.called("POST", "identity-providers")

    def test_changes_one_and_keeps_its_secret(self, visit, platform):
        one = made(platform)
        screen = visit("identity_providers").click(f"provider-{one['id']}-change")
        field(screen, "Name").set_value("Acme Ltd")
        screen.press("Save provider")
        (changed,) = platform.items("identity-providers")
        assert changed == one | {"name": "Acme Ltd"}

    def test_refuses_an_owner_by_group_in_the_platforms_words(self, visit, platform):
        one = made(platform)
        screen = visit("identity_providers").click(f"provider-{one['id']}-change")
        field(screen, "Roles by group").set_value("bosses = owner")
        screen.press("Save provider")
        assert "No group makes somebody owner" in screen.text

    def test_confirms_and_deletes_after_one_question(self, visit, platform):
        one = made(platform)
        key = f"provider-{one['id']}"
        screen = visit("identity_providers").click(f"{key}-confirm-start")
        assert "All its addresses are led to this provider." in screen.text
        screen.click(f"{key}-confirm-yes")
        assert "Addresses of acme.invalid may sign in with it." in screen.text
        screen.click(f"{key}-delete-start").click(f"{key}-delete-yes")
        assert platform.items("identity-providers") == []

    def test_are_absent_for_a_viewer(self, visit):
        screen = visit(person=VIC)
        with pytest.raises(ValueError, match="identity_providers"):
            screen.app.switch_page("views/identity_providers.py")
