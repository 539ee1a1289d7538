"""Keys, seals and the root key by the command line."""

import base64
from pathlib import Path

import pytest

from backend.managers.security import changing_root_keys

pytestmark = pytest.mark.command


@pytest.fixture
def installed(shell):
    shell.run("bootstrap", "--admin-email", "ada@example.test")
    return shell


@pytest.fixture
def root_key(tmp_path: Path) -> Path:
    return tmp_path / "data" / "root.key"


class TestKeys:
    def test_are_made_rotated_and_listed(self, installed):
        said = installed.run(
            "crypto-key-create", "orders", "--tenant", "demo", "--rotate-after-days", "90"
        )
        name, kind, version, operations, budget, rotates, state = said.strip().split("\t")
        assert (name, kind, version, operations) == ("orders", "aes256-gcm", "1", "0")
        assert (budget, state) == (str(2**31), "active")
        assert rotates != "never"
        rotated = installed.run("crypto-key-rotate", "orders", "--tenant", "demo")
        assert rotated.split("\t")[2] == "2"
        installed.run("crypto-key-create", "hooks", "--type", "ed25519", "--tenant", "demo")
        listed = installed.run("crypto-key-list", "--tenant", "demo").splitlines()
        assert [line.split("\t")[0] for line in listed] == ["hooks", "orders"]
        assert listed[0].split("\t")[5] == "never"

    def test_what_cannot_be_done_is_one_line(self, installed):
        said = installed.fail("crypto-key-rotate", "none", "--tenant", "demo")
        assert said.startswith("No such key")


class TestSeal:
    def test_refuses_until_it_is_lifted(self, installed):
        said = installed.run("seal", "demo", "--reason", "a key was published")
        assert said == "demo\tsealed\n"
        said = installed.fail("crypto-key-create", "orders", "--tenant", "demo")
        assert said.startswith("The tenant's keys are sealed")
        assert "sealed already" in installed.fail("seal", "demo", "--reason", "again")
        assert installed.run("unseal", "demo") == "demo\tunsealed\n"
        installed.run("crypto-key-create", "orders", "--tenant", "demo")


class TestRotateRoot:
    def test_replaces_the_file_in_two_steps(self, installed, root_key):
        installed.run("crypto-key-create", "orders", "--tenant", "demo")
        old = root_key.read_text().split()
        said = installed.run("rotate-root", "--wait-seconds", "0")
        rewrapped, left = (int(word) for word in said.split() if word.isdigit())
        assert rewrapped >= 1
        assert left == 0
        both = root_key.read_text().split()
        assert both[1:] == old
        assert len(base64.b64decode(both[0])) == 32
        # Once more changes nothing: a call that was interrupted goes on.
        said = installed.run("rotate-root", "--wait-seconds", "0")
        assert said == "0 data key(s) rewrapped, 0 left\n"
        assert root_key.read_text().split() == both
        installed.run("rotate-root", "--retire")
        new, derives = root_key.read_text().split()
        assert new == both[0]
        # What keys of single uses are derived from stays, and is none of the root keys.
        assert derives.startswith("derives:")
        assert derives.removeprefix("derives:") not in both
        assert installed.run("rotate-root", "--derivation").strip() == derives[8:]
        assert installed.run("audit-verify").count("ok") >= 2
        assert root_key.stat().st_mode & 0o777 == 0o600
        installed.run("crypto-key-rotate", "orders", "--tenant", "demo")

    def test_two_at_once_are_one_line(self, installed, root_key):
        before = root_key.read_text()
        with changing_root_keys(root_key):
            for arguments in (("rotate-root",), ("rotate-root", "--retire")):
                said = installed.fail(*arguments)
                assert said == "The root keys are being changed"
        assert root_key.read_text() == before

    def test_keeps_the_old_one_while_something_needs_it(self, installed, root_key):
        installed.run("crypto-key-create", "orders", "--tenant", "demo")
        old = root_key.read_text()
        new = base64.b64encode(bytes(range(32))).decode()
        root_key.write_text(f"{new}\n{old}")
        said = installed.fail("rotate-root", "--retire")
        assert "rotate first" in said
        assert root_key.read_text().split() == [new, old.strip()]

    def test_asks_for_the_new_one_where_the_file_is_not_its_own(
        self, installed, root_key, monkeypatch
    ):
        old = root_key.read_text().strip()
        new = base64.b64encode(bytes(range(32))).decode()
        monkeypatch.setenv("EMAIL_SENDER__SECURITY__ROOT_KEY", old)
        assert "configure the new root key" in installed.fail("rotate-root")
        monkeypatch.setenv("EMAIL_SENDER__SECURITY__ROOT_KEY", new)
        monkeypatch.setenv("EMAIL_SENDER__SECURITY__ROOT_KEY_PREVIOUS", old)
        said = installed.run("rotate-root", "--wait-seconds", "0")
        assert said.endswith(" 0 left\n")
        monkeypatch.delenv("EMAIL_SENDER__SECURITY__ROOT_KEY_PREVIOUS")
        installed.run("crypto-key-create", "orders", "--tenant", "demo")
