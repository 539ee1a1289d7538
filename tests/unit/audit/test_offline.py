"""The offline verifier: alone, on what anybody may hand it."""

import base64
import filecmp
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from backend.core.audit import GENESIS, AuditRecord, RecordMaker, leaf_bytes, link
from backend.managers.audit import _notes, offline
from backend.managers.audit._tree import Frontier, consistency_spans, inclusion_spans
from backend.managers.security import SecurityManager

FORMATS = Path(__file__).parents[3] / "docs" / "formats"
ROOT_KEY = bytes(range(32))
TENANT = "01890000-0000-7000-8000-0000000000aa"
SECURITY = SecurityManager(ROOT_KEY)
SIGNER = _notes.Signer(f"email-sender/{TENANT}", SECURITY.audit_signing_seed(TENANT))
KEY = offline.Key(SIGNER.verifier.text)
MAC_KEY = SECURITY.audit_keys(TENANT)[0]
Lines = list[dict[str, Any]]


def exported(count: int = 9) -> Lines:
    """An export as the platform would write it, with a checkpoint of all."""
    lines: Lines = [{}]
    previous, frontier = GENESIS, Frontier()
    for seq in range(1, count + 1):
        leaf = {
            "v": 1,
            "id": f"01890000-0000-7000-8000-{seq:012x}",
            "tenant": TENANT,
            "at": f"2026-11-30T12:00:00.{seq:06d}Z",
            "actor": "user:ada",
            "action": "thing.made",
            "target": f"thing:{seq}",
            "request_id": "req-1",
            "data": {"name": "é\u2028\U0001f600", "tags": ["a", None, True], "size": seq},
        }
        raw = offline.leaf_bytes(leaf)
        previous = _link(previous, seq, raw)
        frontier.add(_hash(b"\0" + raw))
        mac = hmac.digest(MAC_KEY, offline.RECORD_USE + raw, "sha256").hex()
        lines.append({"seq": seq, **leaf, "hash": previous.hex(), "mac": mac})
    head = count.to_bytes(8, "big") + bytes(8) + previous
    sealed = offline.HEAD_USE + f"{TENANT}\n".encode() + head
    lines[0] = {
        "format": offline.FORMAT,
        "version": 1,
        "tenant": TENANT,
        "head": {
            "seq": count,
            "hash": previous.hex(),
            "unsealed_seq": 0,
            "mac": hmac.digest(MAC_KEY, sealed, "sha256").hex(),
        },
        "checkpoints": [SIGNER.sign_checkpoint(count, frontier.root())],
    }
    return lines


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _link(previous: bytes, seq: int, raw: bytes) -> bytes:
    return _hash(b"\1" + previous + seq.to_bytes(8, "big") + _hash(b"\0" + raw))


def text_of(lines: Lines) -> list[str]:
    return [json.dumps(line, ensure_ascii=False) for line in lines]


def look(lines: Lines, *notes: str, mac_key: bytes | None = MAC_KEY) -> set[str]:
    report = offline.verify(text_of(lines), KEY, notes, mac_key)
    return {by for by, _, _ in report.findings}


class TestFormat:
    def test_the_script_in_the_documents_is_this_module(self) -> None:
        """If it is not: copy it there again."""
        assert filecmp.cmp(offline.__file__, FORMATS / "audit_verify.py", shallow=False)

    def test_the_published_example_is_what_is_written(self) -> None:
        example = (FORMATS / "audit-example.ndjson").read_text("utf-8").strip().split("\n")
        assert [json.loads(line) for line in example] == exported(3)
        assert (FORMATS / "audit-example.key").read_text().strip() == SIGNER.verifier.text
        assert (FORMATS / "audit-example.mac-key").read_text().strip() == MAC_KEY.hex()

    def test_records_are_written_as_the_platform_writes_them(self) -> None:
        line = exported(1)[1]
        at = line["at"].replace("Z", "+00:00")
        record = AuditRecord(
            id=line["id"],
            tenant_id=TENANT,
            at=datetime.fromisoformat(at),
            **{name: line[name] for name in ("actor", "action", "target", "request_id", "data")},
            mac=bytes.fromhex(line["mac"]),
        )
        assert leaf_bytes(record) == offline.leaf_bytes(line)
        assert link(GENESIS, 1, record).hex() == line["hash"]
        assert RecordMaker(SECURITY.audit_keys).holds(record)

    @pytest.mark.parametrize(
        ("arguments", "status", "said"),
        [
            (["--mac-key", "audit-example.mac-key"], 0, "ok    3 records"),
            (["--checkpoint", "audit-example.checkpoint"], 0, "ok    3 records"),
            (["--checkpoint", "audit-example.key"], 1, "FAIL  checkpoint"),
            (["--mac-key", "audit-example.key"], 2, ""),
            (["--checkpoint", "nowhere"], 2, ""),
        ],
    )
    def test_the_script_alone(self, arguments: list[str], status: int, said: str) -> None:
        """As an auditor runs it: no path of ours, no module of ours."""
        done = subprocess.run(
            [
                *(sys.executable, "-I", "audit_verify.py", "--export", "audit-example.ndjson"),
                *("--key", "audit-example.key", *arguments),
            ],
            cwd=FORMATS,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout.startswith(said)) == (status, True), done
        assert "Traceback" not in done.stderr

    def test_published_checkpoints_are_read_a_line_each(self) -> None:
        lines = [json.dumps({"checkpoint": f"note {number}\n"}) for number in range(3)]
        assert offline.read_notes("\n".join(lines)) == [f"note {number}\n" for number in range(3)]
        with pytest.raises(offline.CannotLookError):
            offline.read_notes('{"no": "checkpoint"}')


class TestVerify:
    def test_what_holds(self) -> None:
        for count in (1, 2, 9, 64, 100):
            lines = exported(count)
            assert look(lines) == look(lines, mac_key=None) == set(), count
            report = offline.verify(text_of(lines), KEY)
            assert (report.records, report.signed) == (count, count)
            assert f"ok    {count} records" in offline.say(report)

    def test_younger_records_are_told_of(self) -> None:
        lines, older = exported(9), exported(5)[0]["checkpoints"]
        lines[0]["checkpoints"] = older
        report = offline.verify(text_of(lines), KEY)
        assert (report.findings, report.signed) == ([], 5)
        assert "4 of them are younger" in offline.say(report)

    def test_every_value_of_every_record_counts(self) -> None:
        for name in ("id", "at", "actor", "action", "target", "request_id", "tenant", "v"):
            lines = exported()
            lines[4][name] = 2 if name == "v" else lines[4][name] + "x"
            assert {"chain", "checkpoint", "mac"} <= look(lines), name
        for change in ({"size": 5}, {"size": 4, "more": 1}, {}):
            lines = exported()
            lines[4]["data"] = change
            assert {"chain", "checkpoint", "mac"} <= look(lines), change

    @pytest.mark.parametrize(
        ("harm", "found"),
        [
            (lambda lines: lines.pop(4), {"enumeration", "checkpoint"}),
            (lambda lines: lines.pop(1), {"enumeration", "checkpoint"}),
            (lambda lines: lines.pop(), {"enumeration", "checkpoint"}),
            (lambda lines: lines.insert(4, lines[4]), {"enumeration"}),
            (lambda lines: lines.append({**lines[3], "seq": None}), set()),
            (lambda lines: lines.append({**lines[3], "seq": None, "mac": None}), {"mac"}),
            (lambda lines: lines.append({**lines[3], "seq": 0}), {"enumeration"}),
            (lambda lines: lines.append({**lines[3], "seq": -7}), {"enumeration"}),
            (lambda lines: lines.append({**lines[3], "seq": True}), {"enumeration"}),
            (lambda lines: lines.append({**lines[3], "seq": "9"}), {"enumeration"}),
            (lambda lines: lines.append({"seq": 10}), {"enumeration", "mac", "chain"}),
            (lambda lines: lines[5].update(hash="zz"), {"chain"}),
            (lambda lines: lines[5].update(hash=None), {"chain"}),
            (lambda lines: lines[5].update(mac=None), {"mac"}),
            (lambda lines: lines[5].update(mac=7), {"mac"}),
            (lambda lines: lines[0].update(head=None), {"enumeration"}),
            (lambda lines: lines[0]["head"].update(seq=8), {"enumeration", "mac"}),
            (lambda lines: lines[0]["head"].update(hash="00" * 32), {"chain", "mac"}),
            (lambda lines: lines[0]["head"].update(hash=None), {"chain", "mac"}),
            (lambda lines: lines[0]["head"].update(unsealed_seq=9), {"mac"}),
            (lambda lines: lines[0]["head"].update(mac=None), {"mac"}),
            (lambda lines: lines[0].update(checkpoints=[]), {"checkpoint"}),
            (lambda lines: lines[0].update(checkpoints=None), {"checkpoint"}),
            (lambda lines: lines[0].update(checkpoints=[7]), {"checkpoint"}),
            (lambda lines: lines[0]["checkpoints"].append("no note\n"), {"checkpoint"}),
        ],
    )
    def test_what_does_not(self, harm: Callable[[Lines], object], found: set[str]) -> None:
        lines = exported()
        harm(lines)
        assert look(lines) == found

    def test_a_fork_is_told_of(self) -> None:
        other = SIGNER.sign_checkpoint(5, bytes(32))
        own = exported(5)[0]["checkpoints"][0]
        assert look(exported(), own) == set()
        assert look(exported(), own, other) == {"checkpoint"}

    def test_no_more_findings_than_a_person_reads(self) -> None:
        lines = exported(200)
        for line in lines[1:]:
            line["mac"] = None
        report = offline.verify(text_of(lines), KEY, mac_key=MAC_KEY)
        assert len(report.findings) == offline.MOST_FINDINGS


Proof = dict[str, Any]


def inclusion(seq: int = 4, count: int = 9) -> Proof:
    """A proof of a record as the platform would give it."""
    lines = exported(count)
    record = {name: lines[seq][name] for name in offline.LEAF}
    raw = offline.leaf_bytes(record)
    leaves = [_hash(b"\0" + offline.leaf_bytes(line)) for line in lines[1:]]
    return {
        "record_id": record["id"],
        "seq": seq,
        "size": count,
        "leaf": raw.decode(),
        "leaf_hash": _hash(b"\0" + raw).hex(),
        "root": _root(leaves).hex(),
        "hashes": [
            _root(leaves[span.first : span.end]).hex() for span in inclusion_spans(seq - 1, count)
        ],
        "checkpoint": lines[0]["checkpoints"][0],
    }


def consistency(old: int = 5, count: int = 9) -> Proof:
    leaves = [_hash(b"\0" + offline.leaf_bytes(line)) for line in exported(count)[1:]]
    return {
        "old_size": old,
        "old_root": _root(leaves[:old]).hex(),
        "size": count,
        "root": _root(leaves).hex(),
        "hashes": [
            _root(leaves[span.first : span.end]).hex() for span in consistency_spans(old, count)
        ],
        "old_checkpoint": exported(old)[0]["checkpoints"][0],
        "checkpoint": exported(count)[0]["checkpoints"][0],
    }


def _root(leaves: list[bytes]) -> bytes:
    grown = Frontier()
    for leaf in leaves:
        grown.add(leaf)
    return grown.root()


def proved(proof: Proof, *notes: str) -> tuple[set[str], str]:
    report = offline.verify_proof(json.dumps(proof), KEY, notes)
    return {by for by, _, _ in report.findings}, offline.say(report)


class TestProof:
    def test_every_record_of_trees_of_every_shape(self) -> None:
        for count in (1, 2, 3, 7, 8):
            for seq in range(1, count + 1):
                found, said = proved(inclusion(seq, count))
                assert not found, (seq, count)
                assert said.startswith(f"ok    record {seq} (thing.made by user:ada on thing:{seq}")

    def test_every_older_tree(self) -> None:
        for old in range(1, 10):
            found, said = proved(consistency(old))
            assert (found, said) == (
                set(),
                f"ok    the signed tree of 9 begins with the signed one of {old}",
            )

    @pytest.mark.parametrize(
        ("change", "found"),
        [
            ({"leaf": exported()[1]}, None),
            ({"leaf": "{}"}, None),
            ({"leaf": offline.leaf_bytes(exported()[5]).decode()}, {"enumeration", "tree"}),
            ({"leaf": inclusion()["leaf"] + " "}, {"enumeration", "tree"}),
            ({"record_id": "another"}, {"enumeration"}),
            ({"seq": 5}, {"tree"}),
            ({"seq": 0}, {"tree"}),
            ({"seq": "4"}, None),
            ({"size": 8}, {"tree", "checkpoint"}),
            ({"root": "00" * 32}, {"tree", "checkpoint"}),
            ({"root": "zz"}, None),
            ({"hashes": []}, {"tree"}),
            ({"hashes": ["00" * 32] * 4}, {"tree"}),
            ({"hashes": 7}, None),
            ({"checkpoint": None}, {"checkpoint"}),
            ({"checkpoint": "no note\n"}, {"checkpoint"}),
            ({"checkpoint": SIGNER.sign_checkpoint(9, bytes(32))}, {"checkpoint"}),
        ],
    )
    def test_what_does_not_prove_a_record(self, change: Proof, found: set[str] | None) -> None:
        proof = inclusion() | change
        if found is None:
            with pytest.raises(offline.CannotLookError):
                proved(proof)
        else:
            assert proved(proof)[0] == found

    @pytest.mark.parametrize(
        ("change", "found"),
        [
            ({"old_root": "00" * 32}, {"tree", "checkpoint"}),
            ({"root": "00" * 32}, {"tree", "checkpoint"}),
            ({"hashes": []}, {"tree"}),
            ({"old_size": 6}, {"tree", "checkpoint"}),
            ({"old_checkpoint": None}, {"checkpoint"}),
            ({"checkpoint": None}, {"checkpoint"}),
        ],
    )
    def test_what_does_not_prove_growth(self, change: Proof, found: set[str]) -> None:
        assert proved(consistency() | change)[0] == found

    def test_a_checkpoint_that_was_kept_is_what_counts(self) -> None:
        proof = consistency() | {"old_checkpoint": None}
        kept = exported(5)[0]["checkpoints"][0]
        other = SIGNER.sign_checkpoint(5, bytes(32))
        assert proved(proof, kept)[0] == set()
        assert proved(proof, other)[0] == {"checkpoint"}
        assert proved(consistency(), other)[0] == {"checkpoint"}

    def test_a_proof_of_another_tenant(self) -> None:
        name = f"email-sender/{'0' * 8}{TENANT[8:]}"
        other = _notes.Signer(name, SECURITY.audit_signing_seed(TENANT))
        report = offline.verify_proof(json.dumps(inclusion()), offline.Key(other.verifier.text), ())
        assert {by for by, _, _ in report.findings} == {"enumeration", "checkpoint"}

    @pytest.mark.parametrize("text", ["", "[]", '{"seq": 1.0}', '{"leaf": 1, "leaf": 2}', "{}"])
    def test_what_is_none(self, text: str) -> None:
        with pytest.raises(offline.CannotLookError):
            offline.verify_proof(text, KEY)

    def test_the_script_alone(self, tmp_path: Path) -> None:
        for proof, status in ((inclusion(2, 3), 0), (inclusion(2, 3) | {"seq": 1}, 1), ({}, 2)):
            (tmp_path / "proof.json").write_text(json.dumps(proof), "utf-8")
            done = subprocess.run(
                [
                    *(sys.executable, "-I", "audit_verify.py", "--key", "audit-example.key"),
                    *("--proof", str(tmp_path / "proof.json")),
                    *("--checkpoint", "audit-example.checkpoint"),
                ],
                cwd=FORMATS,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == status, done
            assert "Traceback" not in done.stderr


class TestRefusals:
    LINES = ("", "[]", "{", '{"seq": 1, "seq": 2}', "[" * 100_000)

    @pytest.mark.parametrize("line", LINES)
    def test_a_first_line_that_could_be_read_in_two_ways(self, line: str) -> None:
        with pytest.raises(offline.CannotLookError):
            offline.verify([line, *text_of(exported(1))], KEY)

    @pytest.mark.parametrize("line", LINES)
    def test_a_line_that_could_be_read_in_two_ways_hides_none(self, line: str) -> None:
        head, first, second, third = text_of(exported(3))
        report = offline.verify([head, first, line, second, third], KEY)
        assert [(by, seq) for by, seq, _ in report.findings] == [("enumeration", None)]
        assert "line 3 of the export" in report.findings[0][2]
        report = offline.verify([head, first, line, third], KEY)
        assert ("enumeration", 2) in [(by, seq) for by, seq, _ in report.findings]

    @pytest.mark.parametrize("number", ["1.0", "NaN", "1e0", "-Infinity"])
    def test_a_number_that_is_no_integer(self, number: str) -> None:
        head, first, second, third = text_of(exported(3))
        asked = second.replace('"seq": 2', f'"seq": {number}')
        assert asked != second
        report = offline.verify([head, first, asked, third], KEY)
        assert report.findings
        with pytest.raises(offline.CannotLookError):
            offline.verify_proof(f'{{"leaf": "x", "size": {number}}}', KEY)

    @pytest.mark.parametrize("first", [{}, {"format": offline.FORMAT, "version": 2}])
    def test_what_is_no_export(self, first: dict[str, Any]) -> None:
        with pytest.raises(offline.CannotLookError):
            offline.verify(text_of([first]), KEY)
        with pytest.raises(offline.CannotLookError):
            offline.verify([], KEY)
        with pytest.raises(offline.CannotLookError):
            offline.verify(text_of([{**exported(1)[0], "head": "head"}]), KEY)

    def test_what_is_no_key(self) -> None:
        name, key_id, coded = SIGNER.verifier.text.split("+", 2)
        ecdsa = base64.b64encode(b"\2" + bytes(32)).decode()
        for text in (
            "",
            name,
            f"{name}+{key_id}",
            f"{name}+{key_id}+!",
            f"{name}+zz+{coded}",
            f"{name}+00000000+{coded}",
            f"other+{key_id}+{coded}",
            f"{name}+{key_id}+{ecdsa}",
        ):
            with pytest.raises(offline.CannotLookError):
                offline.Key(text)


def changed(line: int, member: str = "", /, **values: Any) -> str:
    """The published example with something else in a line of it, or in a member of that."""
    lines = exported(3)
    (lines[line][member] if member else lines[line]).update(values)
    # Escaped, so that halves of pairs can be written as well.
    return "".join(json.dumps(one) + "\n" for one in lines)


def after_the_head(text: str) -> str:
    return json.dumps(exported(3)[0]) + "\n" + text + "\n"


def proof_with(**values: Any) -> str:
    return json.dumps(inclusion(2, 3) | values)


class TestHostileFiles:
    """Whatever is in a file, the verifier ends by itself, and says why in lines of its own."""

    EXPORTS: Mapping[str, tuple[str, int]] = {
        "a number over 64 bits": (changed(2, seq=2**70), 1),
        "a number of 4000 digits": (changed(2, seq=10**4000), 1),
        "a number of 5000 digits": (after_the_head(f'{{"seq":{"9" * 5000}}}'), 1),
        "a number that is a truth value": (changed(1, seq=True), 1),
        "half of a pair": (changed(2, seq="\ud800", actor="\udfff"), 1),
        "lines and escapes in a number": (changed(0, "head", seq="3\nok    3\x1b[2J"), 1),
        "a head with words for numbers": (changed(0, "head", seq="x", mac=None), 1),
        "a head with a huge number": (changed(0, "head", seq=10**30), 1),
        "a head with another's spelling": (changed(0, "head", mac="\u00e9"), 1),
        "a MAC that is not ASCII": (changed(1, mac="\u00e9"), 1),
        "a link that is no hash": (changed(1, hash="\u00e9"), 1),
        "no MAC and a head of words": (
            changed(0, "head", seq=[1], mac=None).replace('"mac": "', '"mac": null, "x": "', 2),
            1,
        ),
        "leaves that are none": (after_the_head('{"leaves":"\u00e9","from":1}'), 1),
        "leaves at a truth value": (after_the_head('{"leaves":"AAAA","from":true}'), 1),
        "a removal that is no text": (changed(0, removed={"a": 1}), 1),
        "checkpoints that are none": (
            changed(0, checkpoints=[None, 5, "x\n\n\u2014 a b\n", "\ud800\n\n\u2014 \ud800 a\n"]),
            1,
        ),
        "a version that is a truth value": (changed(0, version=True), 2),
        "another carriage return": (changed(1).replace("\n", "\r", 1), 2),
        "deep": (after_the_head('{"data":' + "[" * 100_000 + "]" * 100_000 + "}"), 1),
        "a member twice": (after_the_head('{"data":{"a":1,"a":2}}'), 1),
        "a number that is no integer": (after_the_head('{"data":{"a":1.5}}'), 1),
        "no number": (after_the_head('{"data":{"a":NaN}}'), 1),
        "cut in a line": (changed(1)[:-20], 1),
    }
    PROOFS: Mapping[str, tuple[str, int]] = {
        "size 0": (proof_with(size=0), 1),
        "number 0": (proof_with(seq=0), 1),
        "a negative size": (proof_with(size=-3), 2),
        "a huge size": (proof_with(size=10**4000), 2),
        "a truth value": (proof_with(seq=True), 2),
        "words": (proof_with(seq="2"), 2),
        "something behind it": (proof_with() + "{}", 2),
        "a hash more": (proof_with(hashes=[*inclusion(2, 3)["hashes"], "00" * 32]), 1),
        "a hash that is longer": (proof_with(hashes=["00" * 33, "00" * 32]), 2),
        "a million hashes": (proof_with(hashes=["00" * 32] * 100_000), 2),
        "hashes that are a text": (proof_with(hashes="ab"), 2),
        "another root": (proof_with(root="00" * 32), 1),
        "a root of another spelling": (proof_with(root=inclusion(2, 3)["root"].upper()), 1),
        "a leaf that steers": (proof_with(leaf='{"v":1}\u001b[2J'), 2),
        "growth from nothing": (json.dumps(consistency() | {"old_size": 0, "hashes": []}), 1),
        "growth to a huge size": (json.dumps(consistency() | {"size": 2**64}), 2),
    }

    def ended(self, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> int:
        """How the verifier ended; what it said was a line for each thing."""
        key = ("--key", str(FORMATS / "audit-example.key"))
        status = offline.main([*key, *map(str, arguments)])
        out, err = capsys.readouterr()
        assert err.count("\n") == (status == 2), err
        assert len(err) < 300
        for line in out.splitlines():
            assert line.startswith(("FAIL  ", "      ") if status else ("ok    ", "      ")), line
            assert len(line) < 200
            assert line.isprintable()
        return status

    @pytest.mark.parametrize("name", EXPORTS)
    @pytest.mark.parametrize("with_key", [False, True])
    def test_an_export(
        self, name: str, with_key: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text, status = self.EXPORTS[name]
        (tmp_path / "export").write_text(text, "utf-8", newline="")
        more = ("--mac-key", FORMATS / "audit-example.mac-key") if with_key else ()
        found = self.ended(capsys, "--export", tmp_path / "export", *more)
        of_the_mac = name.startswith(("a MAC", "a head with another's"))
        assert found == (0 if of_the_mac and not with_key else status)

    @pytest.mark.parametrize("name", PROOFS)
    def test_a_proof(self, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        text, status = self.PROOFS[name]
        (tmp_path / "proof").write_text(text, "utf-8")
        assert self.ended(capsys, "--proof", tmp_path / "proof") == status

    @pytest.mark.parametrize(
        ("text", "status"),
        [
            ('{"checkpoint": 5}', 2),
            ('{"checkpoint": "x", "checkpoint": "y"}', 2),
            ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", 2),
            ("", 1),
            ("\ud7ff\n\n\u2014 x y\n", 1),
        ],
    )
    def test_a_file_of_checkpoints(
        self, text: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "kept").write_text(text, "utf-8")
        example = FORMATS / "audit-example.ndjson"
        found = self.ended(capsys, "--export", example, "--checkpoint", tmp_path / "kept")
        assert found == status


class TestNotes:
    def test_a_name_that_only_looks_the_same_has_signed_nothing(self) -> None:
        note = exported(3)[0]["checkpoints"][0]
        for look_alike in ("ema\u0131l", "em\u0430il", "email\u200b", "e\uff4dail", "EMAIL"):
            for other in (
                note.replace("email", look_alike),
                note.replace("\u2014 email", f"\u2014 {look_alike}"),
                note.replace("email", look_alike, 1),
            ):
                with pytest.raises(ValueError, match=r"has not signed it|does not hold"):
                    KEY.checkpoint(other)

    def test_a_witness_may_sign_as_well_and_nothing_else_may_stand_there(self) -> None:
        note = exported(3)[0]["checkpoints"][0]
        assert KEY.checkpoint(f"{note}\u2014 witness.example AAAA\n")[0] == 3
        assert KEY.checkpoint(f"{note}\u2014 {KEY.name} \u00e9\n")[0] == 3
        for other in (note[:-1], f"{note}\0", note.replace("\n", "\r\n"), f"{note[:-2]}x=\n"):
            with pytest.raises(ValueError, match=r"no note|not signed|does not hold|else"):
                KEY.checkpoint(other)

    def test_what_is_published_is_of_all_trails(self, tmp_path: Path) -> None:
        """As the file has it that checkpoints are appended to: ours among others'."""
        own = exported(3)[0]["checkpoints"][0]
        other = "email-sender/01890000-0000-7000-8000-0000000000bb"
        lines = [
            {"tenant": "b", "size": 1, "checkpoint": f"{other}\n1\nAAAA\n\n\u2014 {other} AAAA\n"},
            {"tenant": "a", "size": 3, "checkpoint": own},
        ]
        (tmp_path / "kept").write_text("".join(json.dumps(one) + "\n" for one in lines), "utf-8")
        files = (FORMATS / "audit-example.ndjson", FORMATS / "audit-example.key")
        report = offline.verify_files(*files, [tmp_path / "kept"])
        assert (report.findings, report.signed) == ([], 3)
        # One that says nothing of ours is none that was kept.
        (tmp_path / "kept").write_text(json.dumps(lines[0]), "utf-8")
        with pytest.raises(offline.CannotLookError, match="has none of email-sender"):
            offline.verify_files(*files, [tmp_path / "kept"])
        # Edited, so that another's stands for ours.
        forged = own.replace("\n3\n", "\n2\n")
        (tmp_path / "kept").write_text(json.dumps({"checkpoint": forged}), "utf-8")
        report = offline.verify_files(*files, [tmp_path / "kept"])
        assert {by for by, _, _ in report.findings} == {"checkpoint"}
