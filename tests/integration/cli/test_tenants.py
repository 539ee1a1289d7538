"""Tenants from a shell: listed, made, suspended, called back."""

import pytest

pytestmark = pytest.mark.command


@pytest.fixture
def installed(shell):
    shell.run("bootstrap", "--admin-email", "ada@example.test")
    return shell


class TestTenants:
    def test_are_made_suspended_resumed_and_listed(self, installed):
        said = installed.run("tenant-create", "acme", "Acme Ltd", "--owner", "ada@example.test")
        made, link, _ = said.split("\n")
        assert made == "acme\tactive\tAcme Ltd\t"
        assert link.startswith("http://localhost:8400/oauth/invitation?token=")
        installed.run("tenant-suspend", "acme", "--reason", "unpaid")
        assert installed.run("tenant-list") == (
            "acme\tsuspended\tAcme Ltd\tunpaid\n" + "demo\tactive\tDemo\t\n"
        )
        assert installed.run("tenant-resume", "acme") == "acme\tactive\tAcme Ltd\t\n"
        said = installed.run("tenant-rename", "acme", "--slug", "acme-group")
        assert said == "acme-group\tactive\tAcme Ltd\t\n"

    def test_are_deleted_by_their_slug_and_restored(self, installed):
        said = installed.fail("tenant-delete", "demo", "--confirm", "acme")
        assert said.startswith("The confirmation is not the tenant's slug")
        said = installed.run("tenant-delete", "demo", "--confirm", "demo")
        assert said.startswith("demo\tdeleting\t")
        assert installed.run("tenant-restore", "demo").startswith("demo\tactive\t")

    def test_what_cannot_be_done_is_one_line(self, installed):
        assert installed.fail("tenant-resume", "nobody") == "no tenant 'nobody'"
        assert "active" in installed.fail("tenant-resume", "demo")
        said = installed.fail("tenant-create", "demo", "Again", "--owner", "ada@example.test")
        assert said.startswith("The slug is taken")


class TestQuotas:
    def test_are_set_by_plan_and_one_by_one(self, installed):
        installed.run("plan-set", "starter", "emails_a_day=10", "members=3")
        said = installed.run("tenant-quota", "demo", "--plan", "starter", "--set", "members=none")
        lines = dict(line.split("\t", 1) for line in said.splitlines())
        assert (lines["plan"], lines["emails_a_day"]) == ("starter", "10\t0")
        assert lines["members"] == "none\t1"
        assert installed.run("tenant-quota", "demo") == said

    def test_what_is_none_is_a_usage_error(self, installed, capsys):
        with pytest.raises(SystemExit):
            installed.run("tenant-quota", "demo", "--set", "emails=1")
        assert "write NAME=NUMBER" in capsys.readouterr().err
        assert installed.fail("tenant-quota", "demo", "--plan", "gold").startswith("No such plan")
        assert installed.fail("tenant-usage", "demo", "--from", "soon").startswith("These are not")
        assert installed.run("tenant-usage", "demo") == ""
