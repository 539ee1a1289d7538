"""What the README says to type is there, in a clone, as it is written."""

import re
import shlex
from pathlib import Path

import pytest

from backend import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
# A line of a block of commands, without its remark.
COMMANDS = [
    shlex.split(line.partition(" #")[0])
    for line in re.findall(r"^    (\.venv/bin/\S.*|scripts/\S.*)$", README, re.MULTILINE)
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_is_one(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert (ROOT / words[0]).exists()
    if words[0] == ".venv/bin/email-sender":
        known = {command.name for command in cli.COMMANDS}
        assert words[1] in known
        options = cli._parser().parse_args(words[1:])
        assert options.command == words[1]
    else:
        assert words[0] in {"scripts/run", "scripts/test"}


def test_there_are_some() -> None:
    assert len(COMMANDS) >= 8


def test_nothing_is_called_by_a_name_that_a_clone_does_not_have() -> None:
    for line in re.findall(r"^    (.*)$", README, re.MULTILINE):
        assert not re.match(r"(email-sender|python) ", line), line
