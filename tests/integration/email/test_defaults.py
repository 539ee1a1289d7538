"""The platform's own sender, as a process finds it in its environment."""

from pathlib import Path

import pytest

from backend import cli


class TestDoctor:
    @pytest.mark.parametrize("sender", ["billing@", "Ada <a@b.example>"])
    def test_fails_in_one_line_that_names_the_setting(
        self,
        sender: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("EMAIL_SENDER__DATA_DIR", str(tmp_path))
        monkeypatch.setenv("EMAIL_SENDER__EMAIL__FROM_ADDRESS", sender)
        with pytest.raises(SystemExit) as ended:
            cli.main(["doctor"])
        assert ended.value.code == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1
        assert said[0].startswith("email-sender: EMAIL_SENDER__EMAIL__FROM_ADDRESS: ")
