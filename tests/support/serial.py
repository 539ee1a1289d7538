"""pytest plugin: under xdist, tests that must not meet run one after the other in one process.

Two browsers would take each other's time, and so would two n8n; two drills would end each other's
patience. Those are three groups, each in a process of its own that mostly waits. All other tests
are spread by class or module, which keeps their fixtures together. What takes longest begins first,
or the last process would still work on it when the others have nothing left.

xdist's own ``loadgroup`` marks a test's group in its node id, which pytest 9.2 no longer lets it
change: groups fall apart without a word. So the processes that collect tell the one that
distributes through a file, before they report their collection.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ALONE = {"screen": ("browser",), "n8n": ("n8n",), "drill": ("drill",)}
"""Groups of markers: of each group's tests, never two at a time."""
LONG = ("timeout",)
"""Who asks for more time than others have takes more."""
SLOW = ("slow", "page")

_INPUT = "marked_file"
_NEVER = 2**31 - 1


class _Scheduling(LoadScopeScheduling):
    """Gives the tests of a group one scope, and so one process; the heaviest scopes go first."""

    def __init__(self, config: pytest.Config, log: Any, marked_file: Path) -> None:
        super().__init__(config, log)
        self._marked_file = marked_file
        self._marked: dict[str, frozenset[str]] = {}

    def _is(self, what: str, nodeid: str) -> bool:
        if not self._marked:
            # Every process has reported by now: nothing is scheduled before the last one has.
            reported = json.loads(self._marked_file.read_text())
            self._marked = {name: frozenset(nodeids) for name, nodeids in reported.items()}
        return nodeid in self._marked[what]

    def _split_scope(self, nodeid: str) -> str:
        group = next((name for name in ALONE if self._is(name, nodeid)), None)
        return group or super()._split_scope(nodeid)

    def _weight(self, scope: str) -> tuple[bool, int, int, int]:
        nodeids = self.workqueue[scope]
        long, slow = (
            sum(self._is(what, nodeid) for nodeid in nodeids) for what in ("long", "slow")
        )
        return scope in ALONE, long, slow, len(nodeids)

    def _assign_work_unit(self, node: Any) -> None:
        self.workqueue.move_to_end(max(self.workqueue, key=self._weight), last=False)
        super()._assign_work_unit(node)


class SerialPlugin:
    """The distributing side: hands out the file's name and schedules by what it says."""

    def __init__(self, marked_file: Path) -> None:
        self._marked_file = marked_file

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a process, before it starts, where to report."""
        node.workerinput[_INPUT] = str(self._marked_file)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> _Scheduling:
        """Replace the scheduler that ``--dist`` names."""
        return _Scheduling(config, log, self._marked_file)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Have SlipCover leave its probes where they are.

    To take one out again it looks through all objects of the process, of which there are millions:
    a third of a long run. What a probe costs is a call. It takes no option for this in a process of
    xdist's.
    """
    counting = getattr(sys.modules.get("slipcover.pytest_plugin"), "_slipcover_instance", None)
    if counting is not None:
        counting.d_miss_threshold = _NEVER


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Iterator[None]:
    """Own the file for the length of the run, on the distributing side only."""
    if not getattr(config.option, "numprocesses", None):
        return (yield)
    with tempfile.TemporaryDirectory(prefix="email-sender-tests-") as folder:
        config.pluginmanager.register(SerialPlugin(Path(folder) / "marked.json"))
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """On the collecting side: report which tests are marked how. All processes write the same."""
    target = getattr(session.config, "workerinput", {}).get(_INPUT)
    if target is None:
        return
    marked = {
        what: [
            item.nodeid
            for item in session.items
            if any(item.get_closest_marker(name) for name in names)
        ]
        for what, names in {**ALONE, "long": LONG, "slow": SLOW}.items()
    }
    # A rename is atomic: two processes may report at the same moment.
    with tempfile.NamedTemporaryFile("w", dir=Path(target).parent, delete=False) as draft:
        json.dump(marked, draft)
    Path(draft.name).replace(target)
