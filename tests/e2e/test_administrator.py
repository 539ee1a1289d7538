"""A new administrator's first day in the console: a tenant, its people, roles, limits, log-ins.

Done as people do it, each in a browser of their own, on the real platform: API, worker, mail sink
and console are processes. Every page on the way is looked at in light and dark, on a desk and on a
phone. EMAIL_SENDER_SCREENSHOTS names a folder for the pictures.
"""

from __future__ import annotations

import re
import secrets
import time

import pyotp
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import Enter, RunningPlatform, link_in, mail_to
from tests.support.browser import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(2400)]

PASSWORD = "seven grey geese over harbour"
REASON = "The invoice of October is unpaid"


class Cast:
    """A tenant that there is not yet, and its people: a second try has others."""

    def __init__(self) -> None:
        self.slug = f"northwind-{secrets.token_hex(3)}"
        self.name = self.slug.title()
        self.olga, self.max = (f"{who}@{self.slug}.example" for who in ("olga", "max"))


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=re.compile(label)).click()
    page.get_by_role("option", name=option, exact=True).click()


def accept(visitor: Visitor, link: str, name: str, tenant: str) -> None:
    """Follow the link of an invitation, set a password, and log in with it."""
    page = visitor.page
    page.goto(link)
    expect(page.get_by_role("heading", name=f"Join {tenant}")).to_be_visible()
    visitor.survey("join")
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Choose a password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Accept invitation").click()
    expect(page.get_by_role("heading", name=f"Welcome to {tenant}")).to_be_visible()
    visitor.survey("welcome")
    page.get_by_role("link", name="Open the console").click()
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    visitor.survey("log-in")
    visitor.give_password()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    visitor.settle()


def field(page: Page, label: str) -> Locator:
    return page.get_by_role("textbox", name=label)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def opened(visitor: Visitor, name: str) -> None:
    """Open the row of that name."""
    visitor.settle()
    press(visitor.page, name)
    expect(visitor.page.get_by_role("heading", name=name, exact=True)).to_be_visible()


def test_a_first_day(enter: Enter, platform: RunningPlatform) -> None:
    cast = Cast()
    admin = enter().log_in()
    owner = enter(cast.olga, PASSWORD)
    member = enter(cast.max, PASSWORD)
    invite_an_owner(admin, cast)
    accept(owner, link_in(mail_to(platform, cast.olga)), "Olga", cast.name)
    add_a_role(owner)
    invite_a_member(owner, cast)
    accept(member, link_in(mail_to(platform, cast.max)), "Max", cast.name)
    give_the_role(owner, member)
    cut_the_role(owner, member)
    limit_the_member(owner, member, cast)
    suspend_and_restore(admin, owner, cast)
    end_a_session(enter, owner, cast)
    turn_totp_on(owner)


def invite_an_owner(admin: Visitor, cast: Cast) -> None:
    page = admin.page
    admin.open("Tenants")
    admin.survey("tenants")
    press(page, "New tenant")
    field(page, "Name").fill(cast.name)
    field(page, "Slug").fill(cast.slug)
    field(page, "Owner's e-mail").fill(cast.olga)
    admin.survey("tenants-new")
    press(page, "Create tenant")
    expect(page.get_by_text("Link for the owner")).to_be_visible()
    admin.survey("tenants-link")
    press(page, "I have copied it")
    opened(admin, cast.name)
    admin.survey("tenant")


def add_a_role(owner: Visitor) -> None:
    page = owner.page
    owner.survey("overview-empty")
    for name in ("E-mails", "Jobs", "Audit", "Members", "Invitations", "API clients", "API keys"):
        owner.open(name)
        owner.survey(f"{name.lower().replace(' ', '-')}-new-tenant")
    owner.open("Roles")
    owner.survey("roles")
    field(page, "Name").fill("billing")
    field(page, "Description").fill("Reads what was sent")
    for permission in ("email:read", "job:read"):
        page.get_by_text(permission, exact=True).first.click()
    press(page, "Show the difference")
    expect(page.get_by_role("heading", name="billing: what changes")).to_be_visible()
    owner.survey("roles-difference")
    press(page, "Save role")
    expect(page.get_by_text("billing is saved")).to_be_visible()


def invite_a_member(owner: Visitor, cast: Cast) -> None:
    page = owner.page
    owner.open("Members")
    press(page, "Invite")
    field(page, "E-mail").fill(cast.max)
    owner.survey("members-invite")
    press(page, "Invite member")
    expect(page.get_by_text("Link for the invited person")).to_be_visible()
    owner.survey("members-link")
    press(page, "I have copied it")


def give_the_role(owner: Visitor, member: Visitor) -> None:
    page = owner.page
    owner.open("Members")
    opened(owner, "Max")
    choose(page, "Role", "billing")
    owner.survey("members-one")
    press(page, "Save role")
    expect(page.get_by_text("Max has the role billing now.")).to_be_visible()
    member.page.reload()
    expect(member.page.get_by_role("link", name="E-mails", exact=True)).to_be_visible()
    member.open("E-mails")
    expect(member.page.get_by_role("link", name="Members", exact=True)).to_have_count(0)
    member.survey("emails-as-a-member")


def cut_the_role(owner: Visitor, member: Visitor) -> None:
    page = owner.page
    owner.open("Roles")
    choose(page, "^Role", "billing")
    # One, and ticked: the form is that of the chosen role, and that of a new one has gone. While it
    # goes there are two, which no expectation of a single box may meet.
    ticked = page.get_by_role("checkbox", name="email:read", exact=True, checked=True)
    expect(ticked).to_have_count(1)
    expect(page.get_by_role("checkbox", name="email:read", exact=True)).to_have_count(1)
    owner.settle()
    page.get_by_text("email:read", exact=True).first.click()
    press(page, "Show the difference")
    expect(page.get_by_text("Max", exact=True)).to_be_visible()
    owner.survey("roles-cut")
    press(page, "Save role")
    expect(page.get_by_text("billing is saved")).to_be_visible()
    # At once: the very next thing that they ask is refused.
    press(member.page, "Export")
    press(member.page, "Prepare file")
    expect(member.page.get_by_text("This needs the permission email:read").first).to_be_visible()
    member.survey("emails-refused", refused=True)
    member.page.reload()
    member.expect_page("Jobs")
    expect(member.page.get_by_role("link", name="E-mails", exact=True)).to_have_count(0)


def limit_the_member(owner: Visitor, member: Visitor, cast: Cast) -> None:
    page = owner.page
    owner.open("Limits")
    owner.survey("limits")
    press(page, "New limit")
    choose(page, "Whom it limits", f"Max ({cast.max})")
    page.get_by_role("spinbutton", name="Requests at once").fill("4")
    page.get_by_role("spinbutton", name="More requests").fill("1")
    page.get_by_role("spinbutton", name="Every so many seconds").fill("600")
    owner.survey("limits-new")
    press(page, "Set limit")
    expect(page.get_by_text("The limit of Max is set.")).to_be_visible()
    refused = member.page.get_by_text("Too many requests").first
    for name in ("Profile", "Jobs", "Profile", "Jobs", "Profile", "Jobs"):
        member.page.get_by_role("link", name=name, exact=True).click()
        expect(member.page.get_by_role("heading", name=name, level=1)).to_be_visible()
        member.settle()
        if refused.is_visible():
            break
    expect(refused).to_be_visible()
    expect(member.page.get_by_text(re.compile("That is in about .* minutes")).first).to_be_visible()
    member.survey("limited", refused=True)
    member.page.reload()
    expect(member.page.get_by_role("button", name="Try again")).to_be_visible()
    member.survey("limited-from-the-start", refused=True)
    page.reload()
    owner.expect_page("Limits")
    expect(page.get_by_text("Requests of Max: 100% of the limit is used.")).to_be_visible()
    owner.survey("limits-reached")
    opened(owner, "Max")
    press(page, "Remove")
    press(page, "Remove this limit")
    expect(page.get_by_text("The limit of Max is removed.")).to_be_visible()
    press(member.page, "Try again")
    member.open("Jobs")


def suspend_and_restore(admin: Visitor, owner: Visitor, cast: Cast) -> None:
    page = admin.page
    owner.open("E-mails")
    page.get_by_text("Suspend", exact=True).first.click()
    field(page, "Reason").fill(REASON)
    page.keyboard.press("Enter")
    press(page, "Suspend")
    admin.survey("tenant-suspend")
    press(page, "Suspend this tenant")
    expect(page.get_by_text(f"{cast.name} is suspended.")).to_be_visible()
    admin.survey("tenant-suspended")
    owner.page.get_by_role("link", name="Jobs", exact=True).click()
    expect(owner.page.get_by_text(REASON).first).to_be_visible()
    expect(owner.page.get_by_text("Nothing is lost.").first).to_be_visible()
    owner.survey("suspended", refused=True)
    owner.page.reload()
    expect(owner.page.get_by_role("button", name="Try again")).to_be_visible()
    expect(owner.page.get_by_text(REASON)).to_be_visible()
    owner.survey("suspended-from-the-start", refused=True)
    press(page, "Resume")
    press(page, "Resume this tenant")
    expect(page.get_by_text(f"{cast.name} is active again.")).to_be_visible()
    press(owner.page, "Try again")
    owner.expect_page("Jobs")


def end_a_session(enter: Enter, owner: Visitor, cast: Cast) -> None:
    page, other = owner.page, enter(cast.olga, PASSWORD).log_in()
    owner.open("Profile")
    owner.survey("profile")
    mine = page.get_by_role("region", name="Sessions").locator("tr.opens")
    mine.filter(has_not_text="this one").first.get_by_role("button").click()
    press(page, "End session")
    owner.survey("profile-end-session")
    press(page, "End this session")
    expect(page.get_by_text(re.compile("The session on .* has ended."))).to_be_visible()
    other.page.get_by_role("link", name="Jobs", exact=True).click()
    expect(other.page.get_by_text("Your login has ended")).to_be_visible()
    expect(other.page.get_by_role("link", name="Jobs", exact=True)).to_have_count(0)
    other.survey("session-ended")


def turn_totp_on(owner: Visitor) -> None:
    page = owner.page
    owner.open("Second factor")
    owner.survey("second-factor")
    # However long all of this took: it is set up with a log-in that is fresh.
    press(page, "Log out")
    press(page, "Log in")
    owner.give_password()
    owner.expect_page("Second factor")
    press(page, "Set up")
    picture = page.get_by_role("img", name="QR code")
    expect(picture).to_be_visible()
    assert picture.evaluate("one => one.naturalWidth") > 0
    owner.survey("second-factor-scan")
    app = pyotp.TOTP(page.get_by_test_id("stCode").inner_text().strip())
    field(page, "Code that the app shows").fill(app.now())
    press(page, "Confirm")
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    owner.survey("second-factor-codes")
    press(page, "I have kept them")
    expect(page.get_by_text("A log-in asks for your password and a code.")).to_be_visible()
    owner.survey("second-factor-on")
    press(page, "Log out")
    press(page, "Log in")
    owner.give_password()
    expect(page.get_by_label("Code")).to_be_visible()
    owner.survey("log-in-code")
    # A code works once: the app's next one, which the platform takes a little early.
    page.get_by_label("Code").fill(app.at(time.time() + 30))
    press(page, "Continue")
    owner.expect_page("Second factor")


class TestByKeyboard:
    """The same without a mouse: everything is reached by Tab and done by Enter and by typing."""

    def test_a_tenant_is_made_suspended_and_restored(self, enter: Enter) -> None:
        hands = Hands(enter())
        hands.log_in()
        hands.follow("Tenants")
        hands.do("New tenant")
        hands.write("Name", "Southwind")
        hands.write("Slug", f"south-{time.time_ns()}")
        hands.page.keyboard.press("Enter")
        expect(hands.page.get_by_text("Tenant Southwind is created.")).to_be_visible()
        hands.do("Southwind")
        expect(hands.page.get_by_role("heading", name="Southwind", level=1)).to_be_visible()
        hands.reach(hands.page.locator("summary").filter(has_text="Suspend"))
        hands.page.keyboard.press("Enter")
        hands.write("Reason", REASON)
        hands.page.keyboard.press("Enter")
        hands.do("Suspend")
        hands.do("Suspend this tenant")
        expect(hands.page.get_by_text("Southwind is suspended.")).to_be_visible()
        hands.do("Resume")
        hands.do("Resume this tenant")
        expect(hands.page.get_by_text("Southwind is active again.")).to_be_visible()

    def test_a_template_is_written_and_seen(self, enter: Enter) -> None:
        hands = Hands(enter())
        hands.log_in()
        hands.follow("Templates")
        hands.do("New template")
        hands.write("Name", f"welcome-{time.time_ns()}")
        hands.write("Subject", "Hello from the keyboard")
        hands.page.keyboard.press("Enter")
        hands.do("Fill in their names")
        seen = hands.page.locator(".es-subject").filter(has_text="Hello from the keyboard")
        expect(seen).to_be_visible()
        hands.visitor.check_accessibility("a template by keyboard")


class Hands:
    """A visitor who has a keyboard and no mouse."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.page = visitor.page

    def log_in(self) -> None:
        self.page.goto(self.visitor.target.url)
        self.do("Log in")
        expect(self.page.get_by_label("E-mail")).to_be_focused()
        self.page.keyboard.type(self.visitor.target.user)
        self.page.keyboard.press("Tab")
        self.page.keyboard.type(self.visitor.target.password)
        self.page.keyboard.press("Enter")
        self.visitor.expect_page("Overview")

    def reach(self, wanted: Locator) -> None:
        """Press Tab until it has the focus."""
        expect(wanted).to_be_visible()
        self.visitor.settle()
        for _ in range(150):
            if wanted.evaluate("one => one.matches(':focus')"):
                return
            self.page.keyboard.press("Tab")
        pytest.fail(f"Tab does not lead to {wanted}")

    def do(self, name: str) -> None:
        """Press a button."""
        self.reach(self.page.get_by_role("button", name=name, exact=True).first)
        self.page.keyboard.press("Enter")

    def follow(self, name: str) -> None:
        """Follow a link of the sidebar."""
        self.reach(self.page.get_by_role("link", name=name, exact=True))
        self.page.keyboard.press("Enter")
        self.visitor.expect_page(name)

    def write(self, label: str, text: str) -> None:
        """Type into a field."""
        self.reach(field(self.page, label))
        self.page.keyboard.type(text)
