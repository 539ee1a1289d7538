"""Elasticsearch for tests: a real server, and a small one that fails as it is told to.

What the small one says and keeps is what the real one does: tests of faults ask both the same.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.installation import free_ports

MISSING = (
    "there is no Elasticsearch: scripts/test fetches it, or set EMAIL_SENDER_ELASTICSEARCH to the "
    "folder of an unpacked one (and JAVA_HOME to a Java of version 17 or newer)"
)
_READY_SECONDS = 900.0

# An answer to a request: the status, what it says, and more headers; None: the connection is cut.
Answer = tuple[int, Any, Mapping[str, str]] | None


@dataclass
class FakeElasticsearch:
    """Keeps documents by data stream and index, and fails as ``faults`` say.

    Attributes:
        url: Where it listens.
        streams: Documents by ``_id``, of each index of each stream, the current one last.
        created: How often each ``_id`` was created, in whichever index.
        bodies: Sizes of the bulks that came.
        requests: Methods and paths, as they came.
        most_bytes: A larger bulk is answered with 413.
        before: Given the count of bulks so far, answers one instead; ``...`` leaves it alone.
        after: The same, once the bulk is done: nobody hears of it.
        refuse: Given a document, the status and error of one that is not taken, or None.
    """

    url: str = ""
    streams: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    created: Counter[str] = field(default_factory=Counter)
    bodies: list[int] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    templates: dict[str, Any] = field(default_factory=dict)
    authorization: str = ""
    most_bytes: int = 10**9
    before: Callable[[int], Any] = lambda _: ...
    after: Callable[[int], Any] = lambda _: ...
    refuse: Callable[[dict[str, Any]], tuple[int, dict[str, str]] | None] = lambda _: None

    def roll_over(self, stream: str) -> None:
        """Begin the stream's next index."""
        self.streams[stream].append({})

    def ids(self) -> set[str]:
        """All that are kept."""
        return set(self.created)

    def take(self, method: str, path: str, body: bytes) -> Answer:
        """The answer to a request."""
        self.requests.append((method, path))
        if method == "PUT" and path.startswith("/_index_template/"):
            self.templates[path.rpartition("/")[2]] = json.loads(body)
            return 200, {"acknowledged": True}, {}
        found = re.fullmatch(r"/([^/?]+)/(_bulk|_refresh|_search)(\?.*)?", path)
        assert found, path
        stream, act, _ = found.groups()
        if act == "_bulk":
            return self._bulk(stream, body)
        if stream not in self.streams:
            return 404, {"error": {"type": "index_not_found_exception", "reason": "no such"}}, {}
        if act == "_refresh":
            return 200, {}, {}
        wanted = json.loads(body)["query"]["ids"]["values"]
        hits = [{"_id": one} for one in wanted if any(one in i for i in self.streams[stream])]
        return 200, {"hits": {"hits": hits}} if hits else {}, {}

    def _bulk(self, stream: str, body: bytes) -> Answer:
        self.bodies.append(len(body))
        count = len(self.bodies)
        if len(body) > self.most_bytes:
            return 413, "", {}
        said = self.before(count)
        if said is not ...:
            return said
        lines = [json.loads(line) for line in body.splitlines()]
        items = []
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            made = action["create"]["_id"]
            items.append({"create": {"_id": made, **self._create(stream, made, document)}})
        said = self.after(count)
        if said is not ...:
            return said
        return 200, {"items": items}, {}

    def _create(self, stream: str, made: str, document: dict[str, Any]) -> dict[str, Any]:
        refused = self.refuse(document)
        if refused is not None:
            return {"status": refused[0], "error": refused[1]}
        indices = self.streams.setdefault(stream, [{}])
        if made in indices[-1]:
            error = {"type": "version_conflict_engine_exception", "reason": "exists"}
            return {"status": 409, "error": error}
        indices[-1][made] = document
        self.created[made] += 1
        return {"status": 201}


@asynccontextmanager
async def fake_elasticsearch() -> AsyncIterator[FakeElasticsearch]:
    """One on a free port of this machine, as long as the block lasts."""
    made = FakeElasticsearch()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines if line)
                made.authorization = next(
                    (line[15:] for line in lines if line.lower().startswith("authorization: ")), ""
                )
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, path, _ = first.split(" ")
                answer = made.take(method, path, body)
                if answer is None:
                    # A reset, and no orderly end.
                    writer.transport.abort()
                    return
                status, said, more = answer
                content = said.encode() if isinstance(said, str) else json.dumps(said).encode()
                told = "".join(f"{name}: {value}\r\n" for name, value in more.items())
                writer.write(
                    f"HTTP/1.1 {status} x\r\ncontent-length: {len(content)}\r\n{told}\r\n".encode()
                    + content
                )
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()


@dataclass
class Elasticsearch:
    """A real server on this machine."""

    url: str
    process: "subprocess.Popen[bytes]"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What it says to a request; its refusals are errors."""
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.url}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")

    def documents(self, target: str) -> list[dict[str, Any]]:
        """A data stream's documents by number, each with its ``_id``; at most ten thousand."""
        self.ask("POST", f"/{target}/_refresh")
        hits = self.ask("POST", f"/{target}/_search", {"size": 10_000})["hits"]["hits"]
        found = [{**one["_source"], "_id": one["_id"]} for one in hits]
        # Here, for whoever brings a mapping of their own may have none for it.
        return sorted(found, key=lambda one: one["event"]["sequence"])


def find_elasticsearch() -> Path | None:
    """The folder of an unpacked server, and whether there is a Java for it."""
    folder = os.environ.get("EMAIL_SENDER_ELASTICSEARCH", "")
    if not folder or not (Path(folder) / "bin" / "elasticsearch").exists():
        return None
    java = Path(os.environ.get("JAVA_HOME", "")) / "bin" / "java"
    return Path(folder) if java.exists() or shutil.which("java") else None


@contextmanager
def real_elasticsearch(source: Path, **settings: str) -> Iterator[Elasticsearch]:
    """A server of one node with an empty data folder, on free ports, as long as the block lasts.

    Root is refused by it: then it runs as nobody, from a copy that nobody may write to.
    """
    folder = Path(tempfile.mkdtemp(prefix="email-sender-es-"))
    port, transport = free_ports(2)
    home, temporary = folder / "home", folder / "tmp"
    temporary.mkdir()
    shutil.copytree(source, home, symlinks=True)
    said = {
        "cluster.name": "tests",
        "node.name": "one",
        "network.host": "127.0.0.1",
        "http.port": str(port),
        "transport.port": str(transport),
        "discovery.type": "single-node",
        "xpack.security.enabled": "false",
        "cluster.routing.allocation.disk.threshold_enabled": "false",
        **settings,
    }
    text = "".join(f"{name}: {value}\n" for name, value in said.items())
    (home / "config" / "elasticsearch.yml").write_text(text)
    options = home / "config" / "jvm.options.d"
    options.mkdir(exist_ok=True)
    (options / "heap.options").write_text("-Xms512m\n-Xmx512m\n")
    java = os.environ.get("JAVA_HOME") or str(
        Path(os.path.realpath(shutil.which("java") or "")).parents[1]
    )
    command = [str(home / "bin" / "elasticsearch")]
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "nobody:", str(folder)], check=True)
        command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]
    log = folder / "out.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            env={
                "PATH": os.defpath,
                # Beside its own folder: it refuses to start where plugins lie below either.
                "HOME": str(temporary),
                "ES_JAVA_HOME": java,
                "ES_TMPDIR": str(temporary),
            },
        )
    made = Elasticsearch(f"http://127.0.0.1:{port}", process)
    try:
        ends = time.monotonic() + _READY_SECONDS
        while True:
            with suppress(OSError):
                made.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=30s")
                break
            if process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"Elasticsearch does not start: {log.read_text()[-2000:]}")
            time.sleep(0.5)
        yield made
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
