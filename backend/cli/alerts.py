"""Alerts and their rules of the tenant that one is logged in to, from a shell."""

import argparse
from collections.abc import Callable
from typing import Any, Final

from backend.cli._api import Api, api_command, print_rows, segment
from backend.cli._files import read_json, read_text
from backend.cli.command import CommandError


async def _list(api: Api, options: argparse.Namespace) -> None:
    """An alert a line: id, state, severity, name, since when, who sees to it, and what it says."""
    query = {"state": options.state, "severity": options.severity, "matchers": options.labels}
    found = await api.items("alerts", **query)
    print_rows(found, "id", "state", "severity", "name", "since", "acknowledged_by", "summary")


def _act(act: str) -> Callable[[Api, argparse.Namespace], Any]:
    async def work(api: Api, options: argparse.Namespace) -> None:
        await api.post(f"alerts/{segment(options.alert_id)}/{act}", {"text": options.text})

    return work


async def _raise(api: Api, options: argparse.Namespace) -> None:
    """Have an alert fire, or say again that it does; prints its id."""
    labels = dict(_label(text) for text in options.label)
    body = {
        "name": options.name,
        "severity": options.severity,
        "summary": options.summary,
        "labels": labels,
        "lasts_seconds": options.lasts,
    }
    made = await api.post("alerts", body)
    print_rows([made], "id", "state", "severity", "name")


def _label(text: str) -> tuple[str, str]:
    name, given, value = text.partition("=")
    if not (name and given):
        raise CommandError(f"write a label as name=value: {text!r} is none")
    return name, value


async def _rules(api: Api, _: argparse.Namespace) -> None:
    """A rule a line: name, severity, whether it is looked at, when it last was, and its problem."""
    found = await api.items("alert-rules")
    print_rows(found, "name", "severity", "enabled", "looked_at", "problem")


async def _save(api: Api, options: argparse.Namespace) -> None:
    """Keep a rule from a file, as the API has it, or another one under a name that is there."""
    body = await read_json(options.file, "alert rule")
    known = await _ids(api)
    if body["name"] in known:
        await api.put(f"alert-rules/{segment(known[body['name']])}", body)
    else:
        await api.post("alert-rules", body)


async def _try(api: Api, options: argparse.Namespace) -> None:
    """When a rule of a file would have fired, a time a line: labels, from when, until when."""
    body = {**await read_json(options.file, "alert rule"), "days": options.days}
    found = await api.post("alert-rules/test", body)
    print_rows(
        [
            {
                **each,
                "labels": ", ".join(f"{name}={said}" for name, said in line["labels"].items()),
            }
            for line in found["lines"]
            for each in line["firings"]
        ],
        "labels",
        "fired_at",
        "ended_at",
        "value",
    )


def _try_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="JSON as of the API; - is standard input")
    parser.add_argument("--days", type=int, default=1, help="1 to 7 that are looked back")


async def _import(api: Api, options: argparse.Namespace) -> None:
    """A rule a line: what becomes of it, its name, and why it is refused or what is not kept."""
    content = await read_text(options.file)
    path = f"alert-rules/import?dry_run={str(options.dry_run).lower()}"
    found = await api.send_file(path, content.encode(), "application/yaml")
    for one in found["rules"]:
        one["said"] = "; ".join(filter(None, [one["reason"], *one["notes"]]))
    print_rows(found["rules"], "outcome", "name", "said")


async def _delete(api: Api, options: argparse.Namespace) -> None:
    known = await _ids(api)
    if options.name not in known:
        raise CommandError(f"there is no alert rule {options.name!r}")
    await api.delete(f"alert-rules/{segment(known[options.name])}")


async def _catalogue(api: Api, _: argparse.Namespace) -> None:
    """A rule that ships a line: its name, severity, whether it is there, its problem, its text."""
    found = (await api.get("alert-catalogue"))["items"]
    rows = [{**one, "there": "there" if one["rule_id"] else "not there"} for one in found]
    print_rows(rows, "name", "severity", "there", "problem", "about")


async def _adopt(api: Api, options: argparse.Namespace) -> None:
    await api.post(f"alert-catalogue/{segment(options.name)}")


async def _beat(api: Api, options: argparse.Namespace) -> None:
    await api.post("heartbeats", {"name": options.name})


async def _channels(api: Api, _: argparse.Namespace) -> None:
    """A channel a line: id, name, kind, where it leads, messages a minute."""
    found = await api.items("alert-channels")
    print_rows(found, "id", "name", "kind", "host", "per_minute")


async def _try_channel(api: Api, options: argparse.Namespace) -> None:
    known = await _ids(api, "alert-channels")
    if options.name not in known:
        raise CommandError(f"there is no channel {options.name!r}")
    await api.post(f"alert-channels/{segment(known[options.name])}/test")


async def _try_routing(api: Api, options: argparse.Namespace) -> None:
    """Where an alert with these labels would go, a way a line: routes, policy, group."""
    labels = dict(_label(text) for text in options.label)
    found = (await api.post("alert-routing/test", {"labels": labels}))["items"]
    policies = {one["id"]: one["name"] for one in await api.items("alert-policies")}
    print_rows(
        [
            {
                "routes": "/".join(one["routes"]),
                "policy": policies.get(one["policy_id"], "nobody is told"),
                "group": ", ".join(f"{name}={value}" for name, value in one["group"].items()),
            }
            for one in found
        ],
        "routes",
        "policy",
        "group",
    )


async def _ids(api: Api, path: str = "alert-rules") -> dict[str, str]:
    return {one["name"]: one["id"] for one in await api.items(path)}


def _list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", choices=("waiting", "firing", "over"))
    parser.add_argument("--severity", choices=("critical", "warning", "info"))
    parser.add_argument("--labels", metavar="MATCHERS", help='as in team="db",zone!="test"')


def _act_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("alert_id", metavar="ALERT")
    parser.add_argument("--text", default="", help="what is written down with it")


def _raise_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("--severity", choices=("critical", "warning", "info"), default="warning")
    parser.add_argument("--summary", default="", help="what people are told")
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--lasts", type=int, metavar="SECONDS", help="over then unless it is raised again"
    )


def _import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="YAML; - is standard input")
    parser.add_argument("--dry-run", action="store_true", help="change nothing, and say what would")


def _named(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")


COMMANDS: Final = (
    api_command("alerts-list", "print alerts, the newest first", _list, _list_options),
    api_command("alerts-acknowledge", "see to an alert", _act("acknowledge"), _act_options),
    api_command("alerts-resolve", "end an alert", _act("resolve"), _act_options),
    api_command("alerts-raise", "have an alert fire", _raise, _raise_options),
    api_command("alert-rules-list", "print what is looked at", _rules),
    api_command(
        "alert-rules-save",
        "have something looked at, or otherwise",
        _save,
        lambda parser: parser.add_argument("file", help="JSON as of the API; - is standard input"),
    ),
    api_command("alert-rules-test", "print when a rule would have fired", _try, _try_options),
    api_command(
        "alert-rules-import",
        "make rules of a rule file of Prometheus",
        _import,
        _import_options,
    ),
    api_command("alert-rules-delete", "have something looked at no more", _delete, _named),
    api_command("alert-catalogue-list", "print the rules that ship", _catalogue),
    api_command("alert-catalogue-add", "have what one of them asks looked at", _adopt, _named),
    api_command("alert-channels-list", "print by what people are told", _channels),
    api_command("alert-channels-test", "send a test by a channel", _try_channel, _named),
    api_command(
        "alert-routing-test",
        "print where an alert would go",
        _try_routing,
        lambda parser: parser.add_argument("label", nargs="*", metavar="NAME=VALUE"),
    ),
    api_command("heartbeat", "let a signal come that a rule waits for", _beat, _named),
)
