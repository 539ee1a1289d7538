"""The reference of graphs: DBOS, whose workflow reads who waits for whom and starts each."""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dbos import DBOS

from backend.core.clock import monotonic

_QUEUE: Final = "tasks"
# What suited it best: by its own defaults it waits a second before each look.
_AT_ONCE: Final = 100
_LOOK_SECONDS: Final = 0.02
_WARM: Final = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


@DBOS.workflow()
def task(name: str) -> str:
    """Nothing, durably."""
    return name


@DBOS.workflow()
def graph(depends_on: Mapping[str, Sequence[str]]) -> int:
    """Run each when those that it waits for have ended; how many ran."""
    waits = {name: set(before) for name, before in depends_on.items()}
    running: dict[str, Any] = {}
    ended = 0
    while waits or running:
        for name in [one for one, before in waits.items() if not before]:
            del waits[name]
            handle = DBOS.enqueue_workflow(_QUEUE, task, name)
            running[handle.workflow_id] = handle
        first = DBOS.wait_first(list(running.values()), polling_interval_sec=_LOOK_SECONDS)
        del running[first.workflow_id]
        done = first.get_result()
        ended += 1
        for before in waits.values():
            before.discard(done)
    return ended


def main() -> None:
    """Print the seconds from a graph's being handed in to its end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("graph", help="as JSON: names, each with those that it waits for")
    options = parser.parse_args()
    asked = json.loads(options.graph)
    DBOS(config={"name": "bench", "system_database_url": options.url, "log_level": "ERROR"})
    DBOS.launch()
    try:
        DBOS.register_queue(_QUEUE, worker_concurrency=_AT_ONCE, polling_interval_sec=_LOOK_SECONDS)
        DBOS.start_workflow(graph, _WARM).get_result(polling_interval_sec=_LOOK_SECONDS)
        began = monotonic()
        handle = DBOS.start_workflow(graph, asked)
        ended = handle.get_result(polling_interval_sec=_LOOK_SECONDS)
        print(json.dumps({"ended": ended, "seconds": monotonic() - began}), flush=True)
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    main()
