"""Commands in this process, on a migrated database and an empty data folder."""

import os
from typing import Any

import pytest

from backend import cli


class Shell:
    """Runs commands as a shell would, in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def run(self, *arguments: str) -> str:
        """The standard output of a command that works."""
        cli.main(arguments)
        return self._capsys.readouterr().out

    def fail(self, *arguments: str, status: int = 2) -> str:
        """The one line of a command that does not."""
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == status
        error = self._capsys.readouterr().err
        said = [line for line in error.splitlines() if line.startswith("email-sender: ")]
        assert len(said) == 1, error
        assert "Traceback" not in error
        return said[0].removeprefix("email-sender: ")


@pytest.fixture
def shell(
    database_url: str,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Shell:
    """A shell whose environment names a migrated database and an empty data folder."""
    for name in [name for name in os.environ if name.startswith("EMAIL_SENDER__")]:
        monkeypatch.delenv(name)
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("EMAIL_SENDER__DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("EMAIL_SENDER__DATABASE__URL", database_url)
    monkeypatch.setenv("EMAIL_SENDER__EMAIL__SMTP_URL", "smtp://user:hunter2@127.0.0.1:9")
    monkeypatch.setattr(cli, "configure_logging", lambda *_: None)
    # What the doctor finds is asserted, and a busy machine is no finding.
    monkeypatch.setattr("backend.managers.monitoring.manager._TIMEOUT_SECONDS", 30)
    return Shell(capsys)
