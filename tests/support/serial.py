"""pytest plugin: under xdist, tests that must not meet run one after the other in one process.

A browser, an n8n and a drill each want the whole machine, and some of them its fixed ports. All
other tests are spread by class or module, which keeps their fixtures together.

xdist's own ``loadgroup`` marks a test's group in its node id, which pytest 9.2 no longer lets it
change: groups fall apart without a word. So the processes that collect tell the one that
distributes through a file, before they report their collection.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ALONE = ("browser", "n8n", "drill")

_INPUT = "alone_file"


class _Scheduling(LoadScopeScheduling):
    """Gives all tests that must run alone one scope, and so one process."""

    def __init__(self, config: pytest.Config, log: Any, alone_file: Path) -> None:
        super().__init__(config, log)
        self._alone_file = alone_file
        self._alone: frozenset[str] | None = None

    def _split_scope(self, nodeid: str) -> str:
        if self._alone is None:
            # Every process has reported by now: nothing is scheduled before the last one has.
            self._alone = frozenset(json.loads(self._alone_file.read_text()))
        return "alone" if nodeid in self._alone else super()._split_scope(nodeid)


class SerialPlugin:
    """The distributing side: hands out the file's name and schedules by what it says."""

    def __init__(self, alone_file: Path) -> None:
        self._alone_file = alone_file

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a process, before it starts, where to report."""
        node.workerinput[_INPUT] = str(self._alone_file)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> _Scheduling:
        """Replace the scheduler that ``--dist`` names."""
        return _Scheduling(config, log, self._alone_file)


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Iterator[None]:
    """Own the file for the length of the run, on the distributing side only."""
    if not getattr(config.option, "numprocesses", None):
        return (yield)
    with tempfile.TemporaryDirectory(prefix="email-sender-tests-") as folder:
        config.pluginmanager.register(SerialPlugin(Path(folder) / "alone.json"))
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """On the collecting side: report which tests must run alone. All processes write the same."""
    target = getattr(session.config, "workerinput", {}).get(_INPUT)
    if target is None:
        return
    alone = [
        item.nodeid
        for item in session.items
        if any(item.get_closest_marker(name) for name in ALONE)
    ]
    # A rename is atomic: two processes may report at the same moment.
    with tempfile.NamedTemporaryFile("w", dir=Path(target).parent, delete=False) as draft:
        json.dump(alone, draft)
    Path(draft.name).replace(target)
