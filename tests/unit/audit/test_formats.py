"""One record in five formats, each read back by the rules of who made the format."""

import csv
import hashlib
import io
import json
import re
from datetime import UTC, datetime

import pytest

from backend.core.audit import AuditRecord, leaf_bytes
from backend.managers.audit._formats import FORMATS

TENANT = "0199c0de-0000-7000-8000-000000000001"
# Elastic Common Schema 8.17, event.category and event.type.
CATEGORIES = {"authentication", "configuration", "iam"}
TYPES = {"access", "change", "creation", "deletion", "denied", "start", "user"}


def record(action="member.added", *, target="user:eve", seq=7, **data):
    return AuditRecord(
        id="0199c0de-0000-7000-8000-0000000000aa",
        tenant_id=TENANT,
        at=datetime(2027, 1, 31, 8, 5, 0, 123_456, tzinfo=UTC),
        actor="user:ada",
        action=action,
        target=target,
        data=data,
        request_id="req-1",
        seq=seq,
        chain_hash=None if seq is None else bytes(range(32)),
    )


def line(name, one):
    written = FORMATS[name].line(one)
    assert written.endswith(b"\n")
    return written


def as_json(name, one):
    return json.loads(line(name, one))


def parsed_cef(text):
    """A reader of CEF that shares nothing with the writer: the header's seven parts, the keys."""
    parts = re.split(r"(?<!\\)\|", text.rstrip("\n"), maxsplit=7)
    heads = [re.sub(r"\\([\\|])", r"\1", part) for part in parts[:7]]
    found = re.findall(r"(\w+)=((?:\\.|[^=\\])*?)(?=\s\w+=|$)", parts[7])
    unescape = {"n": "\n", "r": "\r"}
    return heads, {
        key: re.sub(r"\\(.)", lambda m: unescape.get(m[1], m[1]), value) for key, value in found
    }


@pytest.mark.parametrize("name", sorted(FORMATS))
class TestEvery:
    def test_a_record_is_one_line_whatever_is_in_it(self, name):
        one = record(target="user:a\nb", reason='line\r\nbreak \u2028 | = \\ " é')
        text = line(name, one).decode()
        rows = (
            list(csv.reader(io.StringIO(text, newline=""))) if name == "csv" else text.split("\n")
        )
        assert len(rows) - (name != "csv") == 1

    def test_one_without_its_number_yet_is_written_too(self, name):
        assert line(name, record(seq=None))

    def test_is_named_as_it_is_asked_for(self, name):
        one = FORMATS[name]
        assert (one.name, bool(one.media_type), bool(one.suffix)) == (name, True, True)


class TestNdjson:
    def test_is_what_was_hashed_and_its_place(self):
        one = record(size=3, tags=["a", None], name="é")
        text = line("ndjson", one)
        leaf = leaf_bytes(one)
        assert text.startswith(leaf[:-1] + b",")
        told = json.loads(text)
        assert (told.pop("seq"), told.pop("hash")) == (7, bytes(range(32)).hex())
        again = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(again.encode()).digest() == hashlib.sha256(leaf).digest()

    def test_says_that_it_has_no_number_yet(self):
        told = as_json("ndjson", record(seq=None))
        assert (told["seq"], told["hash"]) == (None, None)


class TestCsv:
    def test_has_a_heading_for_every_cell(self):
        text = (FORMATS["csv"].head + line("csv", record(role="viewer"))).decode()
        (told,) = csv.DictReader(io.StringIO(text, newline=""))
        assert told == {
            "seq": "7",
            "id": "0199c0de-0000-7000-8000-0000000000aa",
            "at": "2027-01-31T08:05:00.123456Z",
            "tenant": TENANT,
            "actor": "user:ada",
            "action": "member.added",
            "target": "user:eve",
            "request_id": "req-1",
            "data": '{"role": "viewer"}',
            "hash": bytes(range(32)).hex(),
        }
        assert text.endswith("\r\n")

    @pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
    def test_no_cell_is_a_formula(self, start):
        text = line("csv", record(target=f"{start}cmd|' /C calc'!A0")).decode()
        (cells,) = csv.reader(io.StringIO(text, newline=""))
        assert cells[6] == f"'{start}cmd|' /C calc'!A0"


class TestEcs:
    def test_has_the_schemas_fields(self):
        told = as_json("ecs", record(role="viewer"))
        assert told["@timestamp"] == "2027-01-31T08:05:00.123456Z"
        assert told["ecs"]["version"] == "8.17.0"
        event = told["event"]
        assert (event["kind"], event["category"], event["type"]) == (
            "event",
            ["iam"],
            ["creation", "user"],
        )
        assert (event["outcome"], event["sequence"]) == ("success", 7)
        assert event["original"].encode() == leaf_bytes(record(role="viewer"))
        assert event["hash"] == bytes(range(32)).hex()
        assert told["organization"] == {"id": TENANT}
        assert told["related"]["user"] == ["user:ada", "user:eve"]
        assert told["http"]["request"]["id"] == "req-1"

    @pytest.mark.parametrize(
        ("action", "category", "kind", "outcome"),
        [
            ("login.succeeded", "authentication", "start", "success"),
            ("login.failed", "authentication", "denied", "failure"),
            ("access.denied", "configuration", "denied", "failure"),
            ("role.deleted", "iam", "deletion", "success"),
            ("audit.verified", "configuration", "access", "success"),
            ("whatever.happened", "configuration", "change", "success"),
        ],
    )
    def test_every_act_has_allowed_values(self, action, category, kind, outcome):
        event = as_json("ecs", record(action, target="thing:1"))["event"]
        assert (event["category"], event["type"]) == ([category], [kind])
        assert event["outcome"] == outcome
        assert set(event["category"]) <= CATEGORIES
        assert set(event["type"]) <= TYPES


class TestOcsf:
    REQUIRED = (
        "activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid",
    )  # fmt: skip

    @pytest.mark.parametrize(
        ("action", "class_uid", "activity_id", "status_id"),
        [
            ("member.added", 3004, 1, 1),
            ("email.content_read", 3004, 2, 1),
            ("member.role_changed", 3004, 3, 1),
            ("api_key.revoked", 3004, 4, 1),
            ("tenant.suspended", 3004, 12, 1),
            ("access.denied", 3004, 99, 2),
            ("login.succeeded", 3002, 1, 1),
            ("login.failed", 3002, 1, 2),
        ],
    )
    def test_every_event_has_what_its_class_requires(
        self, action, class_uid, activity_id, status_id
    ):
        told = as_json("ocsf", record(action))
        assert [name for name in self.REQUIRED if name not in told] == []
        assert told["class_uid"] == class_uid
        assert told["class_uid"] // 1000 == told["category_uid"]
        assert told["activity_id"] == activity_id
        assert told["type_uid"] == class_uid * 100 + activity_id
        assert told["status_id"] == status_id
        assert ("user" if class_uid == 3002 else "entity") in told

    def test_what_the_class_has_no_number_for_keeps_its_name(self):
        told = as_json("ocsf", record("access.denied"))
        assert (told["activity_id"], told["activity_name"]) == (99, "denied")

    def test_metadata_says_whose_and_which(self):
        told = as_json("ocsf", record())
        assert told["time"] == 1_801_382_700_123
        assert told["metadata"] == {
            "version": "1.6.0",
            "product": told["metadata"]["product"],
            "uid": "0199c0de-0000-7000-8000-0000000000aa",
            "event_code": "member.added",
            "log_name": "audit",
            "original_time": "2027-01-31T08:05:00.123456Z",
            "correlation_uid": "req-1",
            "tenant_uid": TENANT,
            "sequence": 7,
        }
        assert told["entity"] == {"uid": "eve", "type": "user"}
        assert told["raw_data"].encode() == leaf_bytes(record())

    @pytest.mark.parametrize(
        ("actor", "type_id"), [("user:ada", 1), ("system", 3), ("client:es_1", 99)]
    )
    def test_the_actor_is_a_person_a_program_or_the_platform(self, actor, type_id):
        one = record()
        one.actor = actor
        user = as_json("ocsf", one)["actor"]["user"]
        assert (user["uid"], user["type_id"]) == (actor, type_id)


class TestCef:
    def test_has_seven_parts_and_the_dictionarys_keys(self):
        heads, told = parsed_cef(line("cef", record(role="viewer")).decode())
        assert heads[:3] == ["CEF:0", "Email Sender", "Email Sender"]
        assert heads[4:] == ["member.added", "member added", "3"]
        assert told["rt"] == "1801382700123"
        assert (told["act"], told["outcome"], told["suid"]) == (
            "member.added",
            "success",
            "user:ada",
        )
        assert (told["cs2Label"], told["cs2"], told["cn1"]) == ("target", "user:eve", "7")
        assert json.loads(told["cs5"]) == {"role": "viewer"}

    def test_what_would_end_a_part_or_a_value_is_escaped(self):
        one = record("a|b\\c\nd.made", target="x=1|\\y\nz", reason="k=v\\")
        heads, told = parsed_cef(line("cef", one).decode())
        assert heads[4] == "a|b\\c d.made"
        assert told["cs2"] == "x=1|\\y\nz"
        assert json.loads(told["cs5"]) == {"reason": "k=v\\"}

    def test_failures_are_graver_and_long_data_is_cut(self):
        heads, told = parsed_cef(line("cef", record("login.failed", text="x" * 8000)).decode())
        assert (heads[6], told["outcome"]) == ("6", "failure")
        assert len(told["cs5"]) == 4000
