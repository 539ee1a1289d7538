"""Traces: found, shown as a tree, and what came of operations, from a shell."""

import argparse
import sys
from typing import Final

from backend.app import Platform
from backend.cli.command import tenant_command
from backend.core.context import Scope
from backend.managers.tracing import TracingManager, WantedTraces

_ERROR: Final = 2


async def _list(platform: Platform, scope: Scope, options: argparse.Namespace) -> None:
    """One trace a line: when, its id, how long, spans, errors, service and name, between tabs."""
    wanted = WantedTraces(
        service=options.service,
        operation=options.operation,
        workflow_id=options.workflow,
        execution_id=options.execution,
        request_id=options.request,
        attribute=options.attribute,
        min_ms=options.min_ms,
        failed=True if options.failed else None,
    )
    async with platform.database.read(scope) as tx:
        rows = await platform.of(TracingManager).search.list(tx, wanted, limit=options.limit)
    for row in rows[: options.limit]:
        sys.stdout.write(
            f"{row.created_at.isoformat(timespec='seconds')}\t{row.trace_id}"
            f"\t{row.duration_ns / 1e6:.1f} ms\t{row.spans}\t{row.errors}"
            f"\t{row.service}\t{row.name}\n"
        )


async def _show(platform: Platform, scope: Scope, options: argparse.Namespace) -> None:
    """Each span below the one that called it: when it began, how long, by itself, and its name."""
    async with platform.database.read(scope) as tx:
        tree = await platform.of(TracingManager).search.get(tx, options.trace_id)
    for span in tree.spans:
        failed = f"\tERROR {span.message}".rstrip() if span.status == _ERROR else ""
        sys.stdout.write(
            f"{span.offset_ns / 1e6:.1f}\t{span.duration_ns / 1e6:.1f}\t{span.self_ns / 1e6:.1f}"
            f"\t{'  ' * span.depth}{span.service}: {span.name}{failed}\n"
        )


async def _operations(platform: Platform, scope: Scope, options: argparse.Namespace) -> None:
    """One operation a line: spans a minute, errors in %, p50 and p95 in ms, service and name."""
    async with platform.database.read(scope) as tx:
        found = await platform.of(TracingManager).search.list_operations(
            tx, minutes=options.minutes
        )
    for one in found:
        sys.stdout.write(
            f"{one.per_minute:.2f}\t{100 * one.error_rate:.2f} %\t{one.p50_ms or 0:.1f}"
            f"\t{one.p95_ms or 0:.1f}\t{one.service}\t{one.name}\n"
        )


def _filters(parser: argparse.ArgumentParser) -> None:
    for name, text in (
        ("service", "that has a span in it"),
        ("operation", "the name of a span in it"),
        ("workflow", "n8n's id of the workflow"),
        ("execution", "n8n's id of the execution"),
        ("request", "X-Request-Id of a request in it"),
        ("attribute", "name=value of a span, of the last day"),
    ):
        parser.add_argument(f"--{name}", help=text)
    parser.add_argument("--min-ms", type=float, help="took so long")
    parser.add_argument("--failed", action="store_true", help="a span in it failed")
    parser.add_argument("--limit", type=int, default=50, choices=range(1, 1001), metavar="N")


COMMANDS: Final = (
    tenant_command(
        "traces-list",
        "print a tenant's traces, newest first",
        _list,
        _filters,
        installation="looks",
    ),
    tenant_command(
        "traces-show",
        "print one trace as a tree",
        _show,
        lambda parser: parser.add_argument("trace_id"),
        installation="looks",
    ),
    tenant_command(
        "traces-operations",
        "print rate, errors and duration by operation",
        _operations,
        lambda parser: parser.add_argument(
            "--minutes", type=int, default=60, choices=range(1, 361), metavar="1-360"
        ),
        installation="looks",
    ),
)
