"""pytest plugin: how many tests of a whole run may need their second try, and which did.

A run starts thousands of tests, some with a browser, a real n8n or a process that is killed, on
a machine that somebody else may be using. ``--reruns 1`` gives each a second try, and this holds it
to account: what first failed is told at the end with its reason, and more than ``MOST`` of them
fail the run. A race that somebody made shows in many runs or in many tests; both stay visible.
"""

from typing import Final

import pytest

MOST: Final = 3
"""Tests of one run that may fail first and pass then."""


class SecondTries:
    """Keeps the first failures of what was tried again, on the side that reports."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._failed: set[str] = set()

    def _passed_then(self) -> dict[str, str]:
        return {name: why for name, why in self._first.items() if name not in self._failed}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what is tried again, and what failed for good."""
        if str(report.outcome) == "rerun":
            self._first.setdefault(report.nodeid, report.longreprtext)
        elif report.failed:
            self._failed.add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run in which chance was too often the reason."""
        if len(self._passed_then()) > MOST and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which tests passed on their second try only, and how they failed first."""
        tried = self._passed_then()
        if not tried:
            return
        terminalreporter.section("passed on the second try only")
        for name, why in tried.items():
            terminalreporter.write_line(name, bold=True)
            terminalreporter.write_line("\n".join(why.splitlines()[-30:]))
        if len(tried) > MOST:
            terminalreporter.write_line(
                f"{len(tried)} tests needed a second try, and at most {MOST} may", red=True
            )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Listen where results arrive: not in a process that only runs tests."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(SecondTries())
