"""The supervisor with real processes: restarts with growing pauses, stops in order."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend import supervisor
from backend.kit.parent import die_with_parent
from backend.supervisor import (
    FolderInUseError,
    PortTakenError,
    Program,
    Supervisor,
    hold_folder,
    refuse_held_folder,
    refuse_taken_ports,
)

PATH = {"PATH": os.environ["PATH"]}
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's PR_SET_PDEATHSIG")


def shell(name: str, script: str, **environment: str) -> Program:
    return Program(name, ["/bin/sh", "-c", script], {**PATH, **environment})


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in {"Z", "X"}


class TestRefuseTakenPorts:
    def test_names_the_port_and_its_purpose_and_takes_none(self) -> None:
        with socket.socket() as taken, socket.socket() as other:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            other.bind(("127.0.0.1", 0))
            free = other.getsockname()[1]
            other.close()
            port = taken.getsockname()[1]
            with pytest.raises(PortTakenError, match=rf"port {port} \(console\) is taken"):
                refuse_taken_ports({"API": free, "console": port})
            refuse_taken_ports({"API": free})


HOLD = (
    "import pathlib, sys\n"
    "from backend.supervisor import hold_folder\n"
    "with hold_folder(pathlib.Path(sys.argv[1]), 'http://localhost:8401'):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)


class TestHoldFolder:
    """One installation runs out of a folder; the next one is told who has it."""

    @pytest.fixture
    def holder(self, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
            process.kill()

    def test_names_who_has_it(self, tmp_path, holder):
        wanted = (
            f"{tmp_path} is in use by process {holder.pid} (http://localhost:8401); "
            "stop it, or use another folder"
        )
        for _ in range(2):
            with pytest.raises(FolderInUseError) as refused, hold_folder(tmp_path, "elsewhere"):
                pytest.fail("two hold it")
            assert str(refused.value) == wanted
        with pytest.raises(FolderInUseError) as refused:
            refuse_held_folder(tmp_path)
        assert str(refused.value) == wanted

    def test_is_free_when_its_holder_is_killed(self, tmp_path, holder):
        holder.kill()
        holder.wait()
        refuse_held_folder(tmp_path)
        with hold_folder(tmp_path, "here"):
            pass

    def test_is_free_after_the_block_however_it_ends(self, tmp_path):
        for _ in range(2):
            with contextlib.suppress(ValueError), hold_folder(tmp_path, "here"):
                raise ValueError
        refuse_held_folder(tmp_path)

    def test_what_the_holder_starts_may_change_the_folder(self, tmp_path):
        ask = "import pathlib, sys; from backend.supervisor import refuse_held_folder as r; "
        ask += "r(pathlib.Path(sys.argv[1]))"
        with hold_folder(tmp_path, "here"):
            done = subprocess.run(
                [sys.executable, "-c", ask, str(tmp_path)], capture_output=True, check=False
            )
        assert done.returncode == 0, done.stderr

    def test_what_it_starts_does_not_keep_it(self, tmp_path):
        """A child that outlives its parent for a moment must not shut the next start out."""
        with hold_folder(tmp_path, "here"):
            child = subprocess.Popen(["sleep", "60"])
        try:
            refuse_held_folder(tmp_path)
        finally:
            child.kill()
            child.wait()

    def test_by_whatever_path_it_is_called(self, tmp_path, holder):
        other = tmp_path.parent / f"{tmp_path.name}-link"
        other.symlink_to(tmp_path)
        with pytest.raises(FolderInUseError, match=str(holder.pid)):
            refuse_held_folder(other)

    def test_one_that_has_not_said_who_it_is(self, tmp_path, holder):
        (tmp_path / "in-use.lock").write_text("")
        with pytest.raises(FolderInUseError, match="in use by another process"):
            refuse_held_folder(tmp_path)


class TestSupervisor:
    @pytest.mark.slow
    async def test_a_program_that_dies_is_started_again(self, tmp_path: Path) -> None:
        async with Supervisor([shell("api", "echo up; exec sleep 60")], tmp_path) as running:
            await until(lambda: running.log_file("api").read_text() == "up\n")
            first = running.pid("api")
            assert first is not None
            os.kill(first, signal.SIGKILL)
            assert await asyncio.wait_for(running.failed.get(), 20) == "api ended with code -9"
            await until(lambda: running.pid("api") not in {None, first})
            await until(lambda: running.log_file("api").read_text() == "up\nup\n")
            second = running.pid("api")
        assert second is not None
        assert not alive(second)
        assert running.pid("api") is None

    @pytest.mark.slow
    async def test_pauses_grow_to_a_bound_and_start_over_after_a_steady_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pauses: list[float] = []
        enough = asyncio.Event()
        now = [0.0]
        sleep = asyncio.sleep

        async def note(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 8:
                # The next life lasts longer than what counts as steady.
                monkeypatch.setattr(
                    supervisor, "monotonic", lambda: now.__setitem__(0, now[0] + 99) or now[0]
                )
            if len(pauses) == 9:
                enough.set()
                await sleep(60)
            await sleep(0)

        monkeypatch.setattr(supervisor, "monotonic", lambda: now[0])
        monkeypatch.setattr(asyncio, "sleep", note)
        told: list[str] = []
        async with Supervisor([shell("api", "exit 3")], tmp_path, told.append) as running:
            await asyncio.wait_for(enough.wait(), 20)
            assert running.failed.get_nowait() == "api ended with code 3"
        # People see which of them it was, and where its last words are.
        log = tmp_path / "api.log"
        assert set(told) == {f"api ended with code 3 and is started again; see {log}"}
        assert pauses == [0.5, 1, 2, 4, 8, 15, 15, 15, 0.5]

    async def test_stops_the_last_started_first_and_waits_for_each(self, tmp_path: Path) -> None:
        order = tmp_path / "order"
        script = (
            "trap 'echo $NAME >> $ORDER; exit 0' TERM; echo ready; while :; do sleep 0.01; done"
        )
        programs = [shell(n, script, NAME=n, ORDER=str(order)) for n in ("sink", "worker", "api")]
        async with Supervisor(programs, tmp_path) as running:
            for program in programs:
                log = running.log_file(program.name)
                await until(lambda log=log: log.exists() and "ready" in log.read_text())
        assert order.read_text().split() == ["api", "worker", "sink"]

    async def test_kills_what_does_not_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(supervisor, "_STOP_SECONDS", 0.2)
        deaf = shell("deaf", "trap '' TERM; echo ready; while :; do sleep 0.01; done")
        told: list[str] = []
        async with Supervisor([deaf], tmp_path, told.append) as running:
            await until(lambda: "ready" in running.log_file("deaf").read_text())
            pid = running.pid("deaf")
        assert pid is not None
        assert not alive(pid)
        assert told == ["deaf did not stop within 0.2 s and is killed"]

    async def test_a_program_gets_only_its_own_environment(self, tmp_path: Path) -> None:
        program = shell("api", 'echo "$SECRET/$HOME"; exec sleep 60', SECRET="s")
        async with Supervisor([program], tmp_path) as running:
            await until(lambda: running.log_file("api").read_text() == "s/\n")

    @LINUX
    async def test_programs_die_with_a_supervisor_that_was_killed(self, tmp_path: Path) -> None:
        code = (
            "import asyncio, pathlib, sys\n"
            "from backend.supervisor import Program, Supervisor\n"
            "async def main():\n"
            "    program = Program('api', ['/bin/sleep', '60'])\n"
            "    async with Supervisor([program], pathlib.Path(sys.argv[1])) as running:\n"
            "        print(running.pid('api'), flush=True)\n"
            "        await asyncio.sleep(60)\n"
            "asyncio.run(main())\n"
        )
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        assert parent.stdout is not None
        child = int(await asyncio.wait_for(parent.stdout.readline(), 30))
        try:
            assert alive(child)
            parent.kill()
            await parent.wait()
            await until(lambda: not alive(child))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    @LINUX
    def test_programs_run_under_a_supervisor_that_is_process_1(self, tmp_path: Path) -> None:
        # As root at once, else by way of a user namespace, where the system allows one.
        unshare = ["unshare", "--pid", "--fork", "--kill-child"]
        unshare += [] if os.geteuid() == 0 else ["--map-root-user"]
        try:
            subprocess.run([*unshare, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no process namespace here: run it as root with util-linux's unshare")
        code = (
            "import asyncio, os, pathlib, sys\n"
            "from backend.supervisor import Program, Supervisor\n"
            "async def main():\n"
            "    program = Program('api', ['/bin/sh', '-c', 'echo up; exec sleep 60'])\n"
            "    async with Supervisor([program], pathlib.Path(sys.argv[1])) as running:\n"
            "        while not running.log_file('api').read_text() and running.failed.empty():\n"
            "            await asyncio.sleep(0.01)\n"
            "        print(os.getpid(), running.log_file('api').read_text(), flush=True)\n"
            "asyncio.run(main())\n"
        )
        said = subprocess.check_output(
            [*unshare, sys.executable, "-c", code, str(tmp_path)], text=True, timeout=30
        )
        assert said.split() == ["1", "up"]


class TestDieWithParent:
    @LINUX
    def test_a_child_whose_parent_died_before_it_could_ask_does_not_run(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ask = die_with_parent()
        with monkeypatch.context() as another:
            another.setattr(os, "getpid", lambda: 0)
            late = die_with_parent()
        for function, code in ((ask, 7), (late, 1)):
            done = subprocess.run(
                ["/bin/sh", "-c", "exit 7"],
                preexec_fn=function,
                check=False,
            )
            assert done.returncode == code
