"""What children of tests do: good and bad."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def echo(value: Any) -> Any:
    return value


def see() -> dict[str, Any]:
    """What a child has."""
    return {
        "pid": os.getpid(),
        "group": os.getpgid(0),
        "environment": dict(os.environ),
        "open": sorted(int(one.name) for one in Path("/proc/self/fd").iterdir()),
        "data": resource.getrlimit(resource.RLIMIT_DATA)[0],
        "modules": [one for one in sys.modules if one.startswith("backend.managers")],
    }


def spin(marker: str = "") -> None:
    if marker:
        note(marker)
    while True:
        pass


def eat() -> int:
    eaten = []
    while True:
        eaten.append(os.urandom(1_000_000))


def fail(text: str) -> None:
    raise LookupError(text)


def write_much(times: int) -> str:
    for _ in range(times):
        sys.stderr.write("x" * 1000)
    return "written"


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def leave(code: int) -> None:
    os._exit(code)


def many(count: int) -> str:
    return "x" * count


def odd() -> Any:
    return object()


def note(marker: str) -> None:
    with Path(marker).open("a") as file:
        file.write(f"{os.getpid()}\n")


def leave_behind(marker: str, *, own_session: bool = False, hang: bool = False) -> str:
    """Start two that sleep, one of them by fork, and go; or stay as well."""
    if not os.fork():
        if own_session:
            os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note(marker)
        time.sleep(600)
    subprocess.Popen(["/bin/sh", "-c", f"echo $$ >> {marker}; exec sleep 600"])
    note(marker)
    while len(Path(marker).read_text().splitlines()) < 3:
        time.sleep(0.01)
    if hang:
        time.sleep(600)
    return "gone"


def leave_behind_apart(marker: str) -> str:
    return leave_behind(marker, own_session=True)


def hang_with_others(marker: str) -> str:
    return leave_behind(marker, hang=True)


def answer(args: dict[str, Any]) -> Any:
    return {"twice": 2 * args["n"]}


def behave(args: dict[str, Any]) -> Any:
    """Do as it is told."""
    if "marker" in args:
        note(args["marker"])
    return globals()[args["how"]](*args.get("with", ()))
