"""What is asked of Elasticsearch: that it takes documents, has our template, and looks for lines.

By ``kit.outbound``, as all HTTP goes out (record 0040). It speaks to versions 8.13 and later.
"""

import base64
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

import msgspec

from backend.core.errors import AppError
from backend.kit.outbound import HttpAnswer, Outbound
from backend.managers.logging._bulk import (
    NoVerdictError,
    Reason,
    Sorted,
    body_of,
    reason_of,
    sort_out,
)
from backend.managers.logging._ecs import Document, template
from backend.managers.logging.settings import LoggingSettings

_NDJSON: Final = "application/x-ndjson"
_JSON: Final = "application/json"
# What each document is told of, and no more: with all else it is ten times as much.
_TOLD: Final = "items.*._id,items.*.status,items.*.error"
_FOUND: Final = "timed_out,pit_id,hits.hits.sort,aggregations"
_MOST_BYTES: Final = 64 * 2**20
_TOO_LARGE: Final = 413
_NOT_THERE: Final = 404
# Said before any document was looked at; whatever else fails may have done all of its work.
_NOTHING_DONE: Final = frozenset({400, 401, 403, 404, 413, 429})
_LONGEST_ASKED_SECONDS: Final = 300.0


class ClusterError(Exception):
    """All of a request failed.

    Attributes:
        unsure: Whether documents may have been taken all the same.
        wait_seconds: How long it asks to be left alone; 0: it does not say.
    """

    def __init__(self, text: str, *, unsure: bool, wait_seconds: float = 0.0) -> None:
        super().__init__(text)
        self.unsure = unsure
        self.wait_seconds = wait_seconds


class BulkTooLargeError(Exception):
    """The body has more bytes than somebody on the way takes; nothing of it was read."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class Cluster:
    """Elasticsearch, at the address that the platform is configured with."""

    def __init__(self, settings: LoggingSettings, outbound: Outbound) -> None:
        """Ask nothing yet."""
        self._settings = settings
        self._outbound = outbound
        self._has_template = not settings.elasticsearch_template

    async def bulk(self, stream: str, documents: Sequence[Document]) -> Sorted:
        """Create documents in a data stream; what became of each.

        Raises:
            BulkTooLargeError: They are too many bytes.
            ClusterError: Nothing is known of any of them.
        """
        if not self._has_template:
            made = msgspec.json.encode(template(self._settings.elasticsearch_prefix))
            name = quote(self._settings.elasticsearch_prefix)
            self._expect(await self._ask("PUT", f"_index_template/{name}", made, _JSON))
            self._has_template = True
        # Without its template the stream would come to be an index that guesses types.
        path = f"{quote(stream)}/_bulk?require_data_stream=true&filter_path={_TOLD}"
        answer = await self._ask("POST", path, body_of(documents), _NDJSON)
        if answer.status == _TOO_LARGE:
            raise BulkTooLargeError(_reason(answer))
        self._expect(answer)
        try:
            found = sort_out(documents, answer.body)
        except NoVerdictError as error:
            raise ClusterError(str(error), unsure=True) from None
        if any(one.status == _NOT_THERE for one in found.again.values()):
            self._has_template = not self._settings.elasticsearch_template
        return found

    async def find(self, stream: str, documents: Sequence[Document]) -> set[int]:
        """Which of the documents the stream has, in any of its indices.

        An id is there once in an index alone: where a stream has gone over to its next index since,
        sending would double what the index before has.

        Raises:
            ClusterError: It cannot be told.
        """
        if not await self.refresh(stream):
            return set()
        wanted = {one.id: one.seq for one in documents}
        query = {"size": len(wanted), "_source": False, "query": {"ids": {"values": [*wanted]}}}
        path = (
            f"{quote(stream)}/_search?filter_path=hits.hits._id&allow_partial_search_results=false"
        )
        answer = await self._ask("POST", path, msgspec.json.encode(query), _JSON)
        self._expect(answer)
        try:
            hits = msgspec.json.decode(answer.body).get("hits", {}).get("hits", [])
            return {wanted[one["_id"]] for one in hits}
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
            raise ClusterError("This is no answer of the search API", unsure=True) from None

    async def refresh(self, stream: str) -> bool:
        """Have searches see all that the stream has taken; whether there is such a stream.

        Raises:
            ClusterError: It was not done.
        """
        answer = await self._ask("POST", f"{quote(stream)}/_refresh", b"", _JSON)
        if answer.status == _NOT_THERE:
            return False
        self._expect(answer)
        return True

    # --- searches, each as its tenant: with its share of requests and its own breaker -------------

    async def open_view(self, stream: str, tenant_id: str, seconds: float) -> str:
        """Hold one moment of a stream for the pages of a search (a point in time); its id.

        Raises:
            ClusterError: There is no such stream, or it cannot be told.
        """
        path = f"{quote(stream)}/_pit?keep_alive={int(seconds) + 1}s"
        found = await self._search("POST", path, None, tenant_id, seconds)
        try:
            return str(found["id"])
        except KeyError:
            raise ClusterError("This is no answer of the search API", unsure=True) from None

    async def close_view(self, view: str, tenant_id: str, seconds: float) -> None:
        """Let go of it; whatever fails, Elasticsearch does so by itself soon."""
        with suppress(ClusterError):
            await self._search("DELETE", "_pit", {"id": view}, tenant_id, seconds)

    async def search(
        self, stream: str | None, query: Mapping[str, Any], tenant_id: str, seconds: float
    ) -> Mapping[str, Any]:
        """The answer to a search: of a stream, or of the view that the query names.

        Raises:
            ClusterError: There is none, or not of all shards, or not in time.
        """
        path = "_search" if stream is None else f"{quote(stream)}/_search"
        path += f"?allow_partial_search_results=false&filter_path={_FOUND}"
        body = {**query, "timeout": f"{max(1, int(seconds * 1000))}ms"}
        found = await self._search("POST", path, body, tenant_id, seconds)
        if found.get("timed_out") is not False:
            raise ClusterError("Elasticsearch takes too long for this search", unsure=True)
        return found

    async def _search(
        self, method: str, path: str, body: Any, tenant_id: str, seconds: float
    ) -> Mapping[str, Any]:
        if seconds <= 0:
            raise ClusterError("Elasticsearch takes too long for this search", unsure=True)
        content = b"" if body is None else msgspec.json.encode(body)
        answer = await self._ask(
            method, path, content, _JSON, tenant_id=tenant_id, timeout_seconds=seconds
        )
        self._expect(answer)
        try:
            found = msgspec.json.decode(answer.body)
        except msgspec.DecodeError:
            found = None
        if not isinstance(found, dict):
            raise ClusterError("This is no answer of the search API", unsure=True)
        return found

    async def _ask(
        self,
        method: str,
        path: str,
        content: bytes,
        media_type: str,
        *,
        tenant_id: str | None = None,
        timeout_seconds: float | None = None,
    ) -> HttpAnswer:
        base = (self._settings.elasticsearch_url or "").rstrip("/")
        try:
            return await self._outbound.request(
                method,
                f"{base}/{path}",
                tenant_id=tenant_id,
                public_only=False,
                headers={"Content-Type": media_type, "Accept": _JSON, **self._authorization()},
                content=content,
                timeout_seconds=timeout_seconds or self._settings.elasticsearch_timeout_seconds,
                max_bytes=_MOST_BYTES,
            )
        except AppError as error:
            # Not where it stands: tenants read this, and it is none of theirs.
            _, _, said = (error.detail or error.title).rpartition(": ")
            raise ClusterError(f"Elasticsearch: {said}", unsure=True) from error

    def _authorization(self) -> dict[str, str]:
        settings = self._settings
        if settings.elasticsearch_api_key is not None:
            return {"Authorization": f"ApiKey {settings.elasticsearch_api_key.get_secret_value()}"}
        if settings.elasticsearch_user:
            password = settings.elasticsearch_password.get_secret_value()
            pair = f"{settings.elasticsearch_user}:{password}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {}

    @staticmethod
    def _expect(answer: HttpAnswer) -> None:
        if answer.is_success:
            return
        reason = _reason(answer)
        words = f"Elasticsearch answered {answer.status}"
        if reason.kind or reason.text:
            words += f" {reason.kind}: {reason.text}"
        raise ClusterError(
            words,
            unsure=answer.status not in _NOTHING_DONE,
            wait_seconds=_asked_seconds(answer.headers.get("retry-after")),
        )


def _reason(answer: HttpAnswer) -> Reason:
    said: Any = None
    try:
        said = msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        # A page of some proxy's, for eyes.
        return Reason(answer.status, "", "")
    return reason_of(answer.status, said.get("error") if isinstance(said, dict) else None)


def _asked_seconds(retry_after: str | None) -> float:
    """Of a Retry-After in seconds; in its other form, a date, it counts as none."""
    if retry_after is None or not retry_after.isascii() or not retry_after.isdigit():
        return 0.0
    return min(float(retry_after[:9]), _LONGEST_ASKED_SECONDS)
