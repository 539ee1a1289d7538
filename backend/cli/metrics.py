"""A tenant's metrics, from afar: recorded by scripts, listed, and asked for over a window."""

import argparse
import sys
from collections.abc import Mapping
from typing import Any, Final

from backend.cli._api import Api, api_command, print_rows
from backend.cli.command import CommandError, time_of
from backend.managers.metrics import AGGREGATES, KINDS


async def _record(api: Api, options: argparse.Namespace) -> None:
    labels = {}
    for text in options.label:
        name, sign, value = text.partition("=")
        if not sign:
            raise CommandError(f"a label is written as name=value, not {text!r}")
        labels[name] = value
    item = {"name": options.name, "kind": options.kind, "value": options.value, "labels": labels}
    await api.post("metrics", {"items": [item]})


async def _list(api: Api, options: argparse.Namespace) -> None:
    """One metric a line: its name, kind, number of series, and when it was heard of last."""
    found = await api.items("metrics", prefix=options.prefix)
    print_rows(found, "name", "kind", "series", "last_at")


async def _query(api: Api, options: argparse.Namespace) -> None:
    """One line of labels and the value over the window, then perhaps that of the week before."""
    found = await api.get(
        "metrics/query",
        name=options.name,
        aggregate=options.aggregate,
        quantile=options.quantile,
        since=options.since and options.since.isoformat(),
        until=options.until and options.until.isoformat(),
        label=options.label,
        by=options.by,
        top=options.top,
        points=1,
        with_week_before="true" if options.week_before else "false",
    )
    for line in found["lines"]:
        values = [line["value"], *([line["value_week_before"]] if options.week_before else [])]
        said = "\t".join("-" if one is None else f"{one:.6g}" for one in values)
        sys.stdout.write(f"{_labels(line['labels'])}\t{said}\n")


def _labels(labels: Mapping[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items()) or "-"


def _record_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="as orders_total")
    parser.add_argument("value", type=float, help="of a counter what it grew by")
    parser.add_argument("--kind", choices=KINDS, default="counter", help="default: counter")
    _label(parser)


def _query_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="as orders_total")
    parser.add_argument("aggregate", choices=AGGREGATES)
    parser.add_argument("--quantile", default="0.95", help="for quantile; default: 0.95")
    parser.add_argument("--since", type=time_of, help="RFC 3339; default: a day ago")
    parser.add_argument("--until", type=time_of, help="RFC 3339; default: now")
    parser.add_argument(
        "--by", action="append", default=[], help="a line for each value of a label"
    )
    parser.add_argument("--top", type=int, default=20, help="lines; default: 20")
    parser.add_argument("--week-before", action="store_true", help="the week before beside it")
    _label(parser)


def _label(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--label", action="append", default=[], help="name=value; repeat it")


COMMANDS: Final = (
    api_command("metric-record", "record an observation", _record, _record_options),
    api_command(
        "metric-list",
        "print the metrics that were recorded",
        _list,
        lambda parser: parser.add_argument("--prefix", default="", help="what names begin with"),
    ),
    api_command("metric-query", "print what a metric came to", _query, _query_options),
)
