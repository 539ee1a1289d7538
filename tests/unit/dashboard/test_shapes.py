"""Types that are read for the first time by many threads at once."""

import subprocess
import sys

PROGRAM = """
import sys
import threading

import msgspec

from dashboard.client import shapes

sys.setswitchinterval(1e-6)
for turn in range(60):
    inner = [
        msgspec.defstruct(f"Inner{turn}_{k}", [(f"f{n}", int | None, None) for n in range(12)])
        for k in range(12)
    ]
    fields = [(f"a{k}", list[one], []) for k, one in enumerate(inner)]
    outer = msgspec.defstruct(f"Outer{turn}", fields)
    met = threading.Barrier(6)

    def read(number):
        met.wait()
        if number % 2:
            found = shapes.decode(b'{"a1": [{"f1": 1}]}', outer)
        else:
            found = shapes.convert({"a1": [{"f1": 1}]}, outer)
        read.ones.append(found.a1[0].f1)

    read.ones = []
    threads = [threading.Thread(target=read, args=(number,)) for number in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert read.ones == [1] * 6
"""


def test_many_threads_learn_one_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
