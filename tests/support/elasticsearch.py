"""Elasticsearch for tests: a real server, and a small one that fails as it is told to.

What the small one says and keeps is what the real one does: tests of faults ask both the same.
"""

import asyncio
import json
import operator
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import httpx

from scripts.installation import free_ports

MISSING = (
    "there is no Elasticsearch: scripts/test fetches it, or set EMAIL_SENDER_ELASTICSEARCH to the "
    "folder of an unpacked one (and JAVA_HOME to a Java of version 17 or newer)"
)
MISSING_9 = (
    "there is no Elasticsearch 9: scripts/drill --server 9 puts one together, which takes a JDK of "
    "version 21 or newer (EMAIL_SENDER_JDK or JAVA_HOME)"
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
        no_search: The answer to each search; ``...``: they are answered.
        search: The answer to a search, given the documents that it is about.
        searches: Bodies of searches that were answered.
        views: Points in time that are open.
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
    no_search: Any = ...
    search: Callable[[list[dict[str, Any]], dict[str, Any]], Any] = field(
        default_factory=lambda: answer_search
    )
    searches: list[dict[str, Any]] = field(default_factory=list)
    views: set[str] = field(default_factory=set)

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
        if method == "DELETE" and path == "/_pit":
            self.views.discard(json.loads(body)["id"])
            return 200, {"succeeded": True}, {}
        found = re.fullmatch(r"/(?:([^/?]+)/)?(_bulk|_refresh|_search|_pit)(\?.*)?", path)
        assert found, path
        stream, act, _ = found.groups()
        if act in {"_pit", "_search"} and self.no_search is not ...:
            return self.no_search
        if stream is None:
            told = json.loads(body)
            assert told["pit"]["id"] in self.views
            stream = told["pit"]["id"]
        if act == "_bulk":
            return self._bulk(stream, body)
        if stream not in self.streams:
            return 404, {"error": {"type": "index_not_found_exception", "reason": "no such"}}, {}
        if act == "_refresh":
            return 200, {}, {}
        if act == "_pit":
            self.views.add(stream)
            return 200, {"id": stream}, {}
        told = json.loads(body)
        if "ids" not in told["query"]:
            self.searches.append(told)
            return 200, self.search(self.found(stream, told["query"]), told), {}
        wanted = told["query"]["ids"]["values"]
        hits = [{"_id": one} for one in wanted if any(one in i for i in self.streams[stream])]
        return 200, {"hits": {"hits": hits}} if hits else {}, {}

    def found(self, stream: str, query: dict[str, Any]) -> list[dict[str, Any]]:
        """The documents of a stream that a query is about."""
        every = (one for index in self.streams[stream] for one in index.values())
        return [one for one in every if _is_about(query, one)]

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


_TOKEN = re.compile(r"[^\W_](?:[\w.':]*\w)?")


def _values(document: dict[str, Any], name: str) -> list[Any]:
    held: Any = document
    for part in name.split("."):
        held = held.get(part) if isinstance(held, dict) else None
    return [] if held is None else [held]


def _is_about(query: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether a clause is about a document, of the clauses that are asked with here."""
    ((kind, said),) = query.items()
    if kind == "bool":
        some = [_is_about(one, document) for one in said.get("should", ())]
        return (
            all(_is_about(one, document) for one in said.get("filter", ()))
            and not any(_is_about(one, document) for one in said.get("must_not", ()))
            and (any(some) or not said.get("minimum_should_match"))
        )
    if kind == "exists":
        return bool(_values(document, said["field"]))
    ((name, asked),) = said.items()
    values = _values(document, name)
    if kind == "range":
        if asked.get("format") == "epoch_millis":
            values = [datetime.fromisoformat(one).timestamp() * 1000 for one in values]
        bounds = {"gte": operator.ge, "lte": operator.le, "lt": operator.lt}
        return bool(values) and all(
            bounds[bound](values[0], asked[bound]) for bound in bounds if bound in asked
        )
    if kind == "terms":
        return any(one in asked for one in values)
    if kind == "term":
        return asked["value"] in values
    tokens = [token for one in values for token in _TOKEN.findall(str(one).lower())]
    if kind == "prefix":
        return any(one.startswith(asked["value"]) for one in tokens)
    assert kind in {"match_phrase", "match_phrase_prefix"}, kind
    wanted = _TOKEN.findall(asked["query"].lower())
    last = len(wanted) - 1
    return any(
        tokens[at : at + last] == wanted[:last]
        and (
            tokens[at + last].startswith(wanted[last])
            if kind == "match_phrase_prefix"
            else tokens[at + last] == wanted[last]
        )
        for at in range(len(tokens) - last)
    )


def answer_search(documents: list[dict[str, Any]], told: dict[str, Any]) -> dict[str, Any]:
    """What a search says of documents: their ids in order, or how many there are of each."""
    if "aggs" not in told:
        (after,) = told.get("search_after", ["~"])
        ids = sorted((one["event"]["id"] for one in documents), reverse=True)
        hits = [{"sort": [one]} for one in ids if one < after][: told["size"]]
        return {"timed_out": False, "pit_id": told["pit"]["id"], "hits": {"hits": hits}}
    seconds = int(told["aggs"]["steps"]["date_histogram"]["fixed_interval"].removesuffix("s"))
    steps: dict[int, Counter[int]] = {}
    for one in documents:
        at = int(datetime.fromisoformat(one["@timestamp"]).timestamp()) // seconds * seconds * 1000
        steps.setdefault(at, Counter())[one["event"]["severity"]] += 1
    sources = Counter(one.get("service", {}).get("name", "") for one in documents)
    counted = [
        {"key": at, "severities": {"buckets": _buckets(steps[at])}, "doc_count": steps[at].total()}
        for at in sorted(steps)
    ]
    told_of = {"steps": {"buckets": counted}, "sources": {"buckets": _buckets(sources)}}
    return {"timed_out": False, "aggregations": told_of}


def _buckets(counts: Counter[Any]) -> list[dict[str, Any]]:
    return [{"key": key, "doc_count": count} for key, count in counts.most_common()]


@asynccontextmanager
async def fake_elasticsearch() -> AsyncIterator[FakeElasticsearch]:
    """One on a free port of this machine, as long as the block lasts."""
    made = FakeElasticsearch()

    async def take(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        made.authorization = headers.get("authorization", "")
        return made.take(method, path, body)

    async with _listening(take) as made.url:
        yield made


@dataclass
class FaultyProxy:
    """Stands before a real server, answers in its place, and cuts connections, as it is told to.

    Attributes:
        url: Where it listens.
        upstream: The server.
        requests: How many requests came.
        bulks: How many of them with documents.
        before: Given a path, answers instead of the server; ``...`` leaves it alone.
        after: The same, once the server has done its work: nobody hears of it.
    """

    upstream: str
    url: str = ""
    requests: int = 0
    bulks: int = 0
    before: Callable[[str], Any] = lambda _: ...
    after: Callable[[str], Any] = lambda _: ...


@asynccontextmanager
async def faulty_proxy(upstream: str) -> AsyncIterator[FaultyProxy]:
    """One on a free port of this machine, as long as the block lasts."""
    made = FaultyProxy(upstream)
    async with httpx.AsyncClient(base_url=upstream, timeout=120, trust_env=False) as client:

        async def take(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
            made.requests += 1
            made.bulks += "/_bulk" in path
            if (said := made.before(path)) is not ...:
                return cast("Answer", said)
            kept = {"content-type": headers.get("content-type", "application/json")}
            try:
                answer = await client.request(method, path, content=body, headers=kept)
            except httpx.HTTPError:
                # Nobody is there: whoever asked finds the connection cut.
                return None
            if (said := made.after(path)) is not ...:
                return cast("Answer", said)
            return answer.status_code, answer.text, {}

        async with _listening(take) as made.url:
            yield made


@asynccontextmanager
async def _listening(
    take: Callable[[str, str, Mapping[str, str], bytes], Awaitable[Answer]],
) -> AsyncIterator[str]:
    """A small HTTP server on a free port, which answers as it is told to; its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")
                pairs = (line.split(": ", 1) for line in lines if line)
                headers = {name.lower(): value for name, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, path, _ = first.split(" ")
                answer = await take(method, path, headers, body)
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
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@dataclass
class Elasticsearch:
    """A real server on this machine."""

    url: str
    command: list[str]
    environment: dict[str, str]
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it, with the data that it had; returns once it serves."""
        log = self.folder / "out.log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                env=self.environment,
            )
        ends = time.monotonic() + _READY_SECONDS
        while True:
            with suppress(OSError):
                self.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=30s")
                return
            if self.process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"Elasticsearch does not start: {log.read_text()[-2000:]}")
            time.sleep(0.5)

    def stop(self) -> None:
        """Stop it; it may be started again."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def ids(self, target: str) -> Counter[str]:
        """How often a data stream has each ``_id``."""
        self.ask("POST", f"/{target}/_refresh")
        view = self.ask("POST", f"/{target}/_pit?keep_alive=5m")["id"]
        found: Counter[str] = Counter()
        after: dict[str, Any] = {}
        while True:
            asked = {"pit": {"id": view, "keep_alive": "5m"}, "sort": "_shard_doc", **after}
            hits = self.ask("POST", "/_search", {"size": 10_000, "_source": False, **asked})
            if not (page := hits["hits"]["hits"]):
                self.ask("DELETE", "/_pit", {"id": view})
                return found
            found.update(one["_id"] for one in page)
            after = {"search_after": page[-1]["sort"]}

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

    def version(self) -> str:
        """What it says that it is."""
        (node,) = self.ask("GET", "/_nodes?filter_path=nodes.*.version")["nodes"].values()
        return str(node["version"])

    def documents(self, target: str) -> list[dict[str, Any]]:
        """A data stream's documents by number, each with its ``_id``; at most ten thousand."""
        self.ask("POST", f"/{target}/_refresh")
        hits = self.ask("POST", f"/{target}/_search", {"size": 10_000})["hits"]["hits"]
        found = [{**one["_source"], "_id": one["_id"]} for one in hits]
        # Here, for whoever brings a mapping of their own may have none for it.
        return sorted(found, key=lambda one: one["event"]["sequence"])


def find_elasticsearch(name: str = "EMAIL_SENDER_ELASTICSEARCH") -> Path | None:
    """The folder of an unpacked server, if there is a Java for it as well.

    Args:
        name: Of the variable that says where.
    """
    folder = os.environ.get(name, "")
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
        "cluster.routing.allocation.disk.threshold_enabled": "false",
        **settings,
    }
    if (home / "modules" / "x-pack-security").exists():
        # Where the module is not, its settings are unknown ones, with which no server starts.
        said["xpack.security.enabled"] = "false"
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
    environment = {
        "PATH": os.defpath,
        # Beside its own folder: it refuses to start where plugins lie below either.
        "HOME": str(temporary),
        "ES_JAVA_HOME": java,
        "ES_TMPDIR": str(temporary),
    }
    made = Elasticsearch(f"http://127.0.0.1:{port}", command, environment, folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)
