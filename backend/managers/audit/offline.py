"""Verify an exported audit trail, offline, with nothing but a public key.

    audit_verify.py --export FILE --key FILE [--checkpoint FILE]... [--mac-key FILE]
    audit_verify.py --proof FILE --key FILE [--checkpoint FILE]...

Needs Python 3.11 and the package `cryptography`; nothing of the system that wrote the trail. The
formats are described in docs/formats/audit.md, beside this file's copy `audit_verify.py`.

Nothing that is verified is believed. The records are counted, hashed and linked anew; the tree of
RFC 6962 is grown from them; its root has to be the one that each checkpoint (a signed note of C2SP)
says, and each signature has to hold under the key, which names the tenant. Give the checkpoints
that you have kept: one from before is what a database that was put back, cut or rewritten cannot
agree with. With the tenant's MAC key it also says who wrote each record.

A proof is of one record, that it is a leaf of a tree, or of two trees, that the newer begins with
the older. Each tree has to be one that a checkpoint signs, of the proof's own or of the kept ones.

Records that were let go by retention are told from those that somebody deleted: a signed statement
says up to which number they went, and their leaf hashes, which stay, lead to the signed roots.

Exits 0 when all holds, 1 when something does not, 2 when it could not look.
"""

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "email-sender-audit-export"
LEAF = ("v", "id", "tenant", "at", "actor", "action", "target", "request_id", "data")
RECORD_USE = b"email-sender audit record v1\n"
HEAD_USE = b"email-sender audit head v1\n"
BODY = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n")
GONE = re.compile(
    r"email-sender audit removal v1\n([^\n]+)\n([1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n"
    r"([A-Za-z0-9+/]{43}=)\n([1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n([0-9T:.-]+Z)\n"
)
REMOVED = "audit_record.removed"
MOST_FINDINGS = 100
LONGEST_TOLD = 60
MOST_RECORDS = 2**63 - 1


class CannotLookError(Exception):
    """What was given is not what it should be: nothing was verified."""


@dataclass
class Report:
    """What was found.

    Attributes:
        findings: What does not hold, as (what found it, number or None, in words).
        records: So many records were counted.
        root: Of the tree over them, hex.
        signed: The largest size that a checkpoint signs and that holds.
        proved: What a proof proves, in words.
        removed: Records up to this number were let go by retention, as a signature says.
        removed_at: When they went.
    """

    findings: list[tuple[str, int | None, str]] = field(default_factory=list)
    records: int = 0
    root: str = ""
    signed: int = 0
    proved: str = ""
    removed: int = 0
    removed_at: str = ""

    def note(self, by: str, seq: int | None, detail: str) -> None:
        """Add a finding, unless there are many already."""
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append((by, seq, detail))


class Key:
    """A vkey: name, id and Ed25519 public key, as signed notes write it."""

    def __init__(self, text: str) -> None:
        """Read one line ``name+id+base64``.

        Raises:
            CannotLookError: It is none, or its id is another's.
        """
        try:
            self.name, key_id, coded = text.strip().split("+", 2)
            raw = base64.b64decode(coded, validate=True)
            self.id = bytes.fromhex(key_id)
        except (ValueError, binascii.Error):
            raise CannotLookError("the key is no line of name+id+base64") from None
        named = hashlib.sha256(self.name.encode() + b"\n" + raw).digest()[:4]
        if len(raw) != 33 or raw[0] != 1 or named != self.id:
            raise CannotLookError("the key is not what its id says, or no Ed25519 key")
        self.public = Ed25519PublicKey.from_public_bytes(raw[1:])
        self.tenant = self.name.rpartition("/")[2]

    def checkpoint(self, note: str) -> tuple[int, bytes]:
        """Size and root that a checkpoint signs.

        Raises:
            ValueError: It is no checkpoint of this key, or its signature does not hold.
        """
        text = self.open(note)
        said = BODY.fullmatch(text)
        if said is None or said[1] != self.name:
            raise ValueError("it speaks of something else")
        return int(said[2]), base64.b64decode(said[3])

    def removal(self, note: str) -> "Removal":
        """What a statement says of records that are gone.

        Raises:
            ValueError: It is none of this key, or its signature does not hold.
        """
        said = GONE.fullmatch(self.open(note))
        if said is None or said[1] != self.name or int(said[2]) > int(said[5]):
            raise ValueError("it speaks of something else")
        root, link, size_root = (base64.b64decode(said[at]) for at in (3, 4, 6))
        return Removal(int(said[2]), root, link, int(said[5]), size_root, said[7])

    def open(self, note: str) -> str:
        """The text of a note that this key signed.

        Raises:
            ValueError: It is none, or its signature does not hold.
        """
        text, gap, lines = note.rpartition("\n\n")
        text += "\n"
        if not gap or not lines.endswith("\n"):
            raise ValueError("it is no note")
        for line in lines.split("\n"):
            dash, _, rest = line.partition(" ")
            name, _, coded = rest.partition(" ")
            if dash != "\u2014" or name != self.name:
                continue
            try:
                signed = base64.b64decode(coded, validate=True)
            except ValueError:
                continue
            # Of several spellings of the same bytes one is theirs.
            if signed[:4] != self.id or base64.b64encode(signed).decode() != coded:
                continue
            try:
                self.public.verify(signed[4:], text.encode())
            except InvalidSignature:
                raise ValueError("its signature does not hold") from None
            return text
        raise ValueError(f"{self.name} has not signed it")


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The root that a proof leads to; None if no tree of this size has such a proof.

    The algorithm of RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        return None
    at, last, value = index, size - 1, leaf
    for part in proof:
        if last == 0:
            return None
        if at & 1 or at == last:
            value = _node(part, value)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            value = _node(value, part)
        at, last = at >> 1, last >> 1
    return value if last == 0 else None


def proves_consistency(
    old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether a proof shows the old tree to be the beginning of the other.

    The algorithm of RFC 9162, section 2.1.4.2. Of no leaves everything is a continuation.
    """
    if not 0 <= old <= size:
        return False
    if old in {0, size}:
        return not proof and (old_root == (hashlib.sha256(b"").digest() if old == 0 else root))
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    of_old = of_new = path[0]
    for part in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            of_old, of_new = _node(part, of_old), _node(part, of_new)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            of_new = _node(of_new, part)
        at, last = at >> 1, last >> 1
    return last == 0 and of_old == old_root and of_new == root


@dataclass
class Removal:
    """What a signed statement says: records up to ``seq`` are gone, and what of them stays."""

    seq: int
    root: bytes
    link: bytes
    size: int
    size_root: bytes
    at: str


class Tree:
    """The roots of the complete subtrees over what was read (RFC 6962, section 2.1)."""

    def __init__(self) -> None:
        """Begin without leaves."""
        self.size = 0
        self.parts: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """Append a leaf hash."""
        size, value = self.size, leaf
        while size & 1:
            value = _node(self.parts.pop(), value)
            size >>= 1
        self.parts.append(value)
        self.size += 1

    def root(self) -> bytes:
        """The root over what was read."""
        if not self.parts:
            return hashlib.sha256(b"").digest()
        result = self.parts[-1]
        for part in self.parts[-2::-1]:
            result = _node(part, result)
        return result


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands twice")
    return found


def _no_integer(text: str) -> str:
    """What stands for a number that no record of ours holds: a text that none can hold either."""
    return f"\udfff{text}"


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_float=_no_integer,
            parse_constant=_no_integer,
        )
    except (ValueError, RecursionError) as exc:
        raise CannotLookError(f"{what}: {exc}") from None
    if not isinstance(found, dict):
        raise CannotLookError(f"{what} is no object")
    return found


def leaf_bytes(record: dict[str, Any]) -> bytes:
    """The canonical bytes of a record (RFC 8785; it holds no floats)."""
    leaf = {name: record.get(name) for name in LEAF}
    text = json.dumps(leaf, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def _mac_holds(key: bytes, use: bytes, data: bytes, said: Any) -> bool:
    made = hmac.digest(key, use + data, "sha256").hex()
    # Only of ASCII: others cannot be compared so.
    return isinstance(said, str) and said.isascii() and hmac.compare_digest(made, said)


class _Look:
    """One pass over an export."""

    def __init__(self, key: Key, notes: Sequence[str], mac_key: bytes | None) -> None:
        self.report = Report()
        self.key = key
        self.mac_key = mac_key
        self.tree = Tree()
        self.chain = bytes(32)
        self.expected = 1
        self.unsealed = 0
        self.head: dict[str, Any] | None = None
        self.whole = True
        self.any_sealed = False
        self.removed: Removal | None = None
        self.signed: dict[int, bytes] = {}
        for note in notes:
            self.sign(note)

    def sign(self, note: Any) -> None:
        """Take what a checkpoint says, once its signature holds."""
        try:
            size, root = self.key.checkpoint(note if isinstance(note, str) else "")
        except ValueError as exc:
            self.report.note("checkpoint", None, f"a checkpoint: {exc}")
            return
        self._take(size, root)

    def _take(self, size: int, root: bytes) -> None:
        if self.signed.setdefault(size, root) != root:
            self.report.note("checkpoint", size, f"two roots are signed for the size {size}")

    def begin_removed(self, note: Any) -> None:
        """Take what is said of records that are gone, once its signature holds."""
        if note is None:
            return
        try:
            gone = self.key.removal(note if isinstance(note, str) else "")
        except ValueError as exc:
            self.report.note("retention", None, f"what is said of records that are gone: {exc}")
            return
        self.removed = gone
        self.report.removed, self.report.removed_at = gone.seq, gone.at
        self._take(gone.size, gone.size_root)

    def look_at_leaves(self, line: dict[str, Any]) -> None:
        """Take leaf hashes of records that are gone."""
        gone, size = self.removed, self.tree.size
        try:
            hashes = base64.b64decode(line["leaves"], validate=True)
        except (TypeError, ValueError):
            hashes = b""
        end = size + len(hashes) // 32
        if (
            gone is None
            or self.expected != 1
            or _number(line.get("from")) != size + 1
            or len(hashes) % 32
            or not size < end <= gone.seq
        ):
            self.report.note(
                "retention", size + 1, "leaves stand where no signature says that records went"
            )
            return
        for at in range(0, len(hashes), 32):
            self.tree.add(hashes[at : at + 32])
            self._compare()
        if end == gone.seq:
            if self.tree.root() != gone.root:
                self.report.note(
                    "retention", end, f"the leaves up to {end} are not those that were let go"
                )
            self.chain, self.expected = gone.link, gone.seq + 1

    def begin(self, head: Any) -> None:
        """Take the head of the chain, as the export states it."""
        if head is None:
            return
        if not isinstance(head, dict):
            raise CannotLookError("the head of the chain is no object")
        self.head = head
        if self.mac_key is None or head.get("mac") is None:
            # Without a MAC it says nothing that has to be believed; with one we cannot tell.
            self.unsealed = _number(head.get("seq")) or 0 if head.get("mac") is None else 0
            return
        try:
            data = b"".join(
                (
                    f"{self.key.tenant}\n".encode(),
                    int(head["seq"]).to_bytes(8, "big", signed=True),
                    int(head["unsealed_seq"]).to_bytes(8, "big", signed=True),
                    bytes.fromhex(head["hash"]),
                )
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            data = b""
        if _mac_holds(self.mac_key, HEAD_USE, data, head["mac"]):
            self.unsealed = int(head["unsealed_seq"])
        else:
            self.report.note("mac", None, "the head of the chain is none of theirs")

    def look(self, record: dict[str, Any]) -> None:
        """Take the next record."""
        note, seq = self.report.note, record.get("seq")
        leaf = leaf_bytes(record)
        mac = record.get("mac")
        self.any_sealed = self.any_sealed or mac is not None
        sealed = self.mac_key is None or _mac_holds(self.mac_key, RECORD_USE, leaf, mac)
        if record.get("tenant") != self.key.tenant or record.get("v") != 1:
            note("enumeration", _number(seq), "a record is of another tenant, or another format")
        if seq is None:
            if self.mac_key is None:
                note(
                    "enumeration", None, "a record has no number: younger than a second, or forged"
                )
            elif not sealed:
                note("mac", None, "a record without a number is none of theirs")
            return
        if _number(seq) is None or not 1 <= seq <= MOST_RECORDS:
            note("enumeration", None, f"a record has the number {_told(seq)}")
            return
        if seq < self.expected:
            note("enumeration", seq, f"record {seq} stands twice, or out of order")
            return
        if seq > self.expected:
            note("enumeration", self.expected, f"there is no record {self.expected} before {seq}")
            self.whole = False
        if not sealed and not (mac is None and seq <= self.unsealed):
            note("mac", seq, f"record {seq} is none of theirs, or was changed")
        if record.get("action") == REMOVED and self._says_more(record.get("data")):
            note("retention", seq, f"record {seq} says that more went than a signature does")
        self.expected = seq + 1
        self._link(seq, leaf, record.get("hash"))

    def _link(self, seq: int, leaf: bytes, said: Any) -> None:
        hashed = hashlib.sha256(b"\x00" + leaf).digest()
        linked = hashlib.sha256(b"\x01" + self.chain + seq.to_bytes(8, "big") + hashed).digest()
        if said != linked.hex() and self.whole:
            self.report.note("chain", seq, f"record {seq} does not follow the one before")
        try:
            self.chain = bytes.fromhex(said) if isinstance(said, str) else linked
        except ValueError:
            self.chain = linked
        if self.whole:
            self.tree.add(hashed)
            self._compare()

    def require(self, size: int, root: bytes) -> None:
        """Note that nothing signs this tree, or that what does signs another."""
        if size not in self.signed:
            self.report.note("checkpoint", size, f"no checkpoint signs the tree of {size}")
        elif self.signed[size] != root:
            self.report.note(
                "checkpoint", size, f"the checkpoint of size {size} signs another root"
            )

    def _says_more(self, data: Any) -> bool:
        said = _number(data.get("until_seq")) if isinstance(data, dict) else None
        return said is not None and said > (self.removed.seq if self.removed else 0)

    def _compare(self) -> None:
        size = self.tree.size
        root = self.signed.get(size)
        if root is None:
            return
        if root == self.tree.root():
            self.report.signed = size
        else:
            self.report.note(
                "checkpoint", size, f"the checkpoint of size {size} signs another root"
            )

    def end(self) -> Report:
        """Compare with what was signed for more than there is, and with the head."""
        report, size = self.report, self.tree.size
        report.records, report.root = size, self.tree.root().hex()
        if not self.signed:
            report.note("checkpoint", None, "no checkpoint: nothing signed speaks of these records")
        for at in sorted(self.signed):
            if at > size:
                report.note("checkpoint", size + 1, f"{at} records were signed, {size} are there")
        if self.head is not None:
            seq = self.head.get("seq")
            if self.mac_key is not None and self.any_sealed and self.head.get("mac") is None:
                report.note("mac", None, "the head of the chain has no MAC, and records have")
            if seq != self.expected - 1:
                report.note(
                    "enumeration", None, f"the chain ends at {_told(seq)}, not {self.expected - 1}"
                )
            elif self.whole and size and self.head.get("hash") != self.chain.hex():
                report.note("chain", size, "the head of the chain has another hash")
        elif size:
            report.note("enumeration", 1, "there are records, and no head of their chain")
        return report


def _number(seq: Any) -> int | None:
    return seq if isinstance(seq, int) and not isinstance(seq, bool) else None


def _told(value: Any) -> str:
    """What somebody else wrote, in one short line that steers no terminal."""
    text = value if isinstance(value, str) and value.isprintable() else ascii(value)
    return text if len(text) <= LONGEST_TOLD else f"{text[:LONGEST_TOLD]}..."


def verify(
    lines: Iterable[str], key: Key, notes: Sequence[str] = (), mac_key: bytes | None = None
) -> Report:
    """Verify an export.

    Args:
        lines: Of the export: a head, then a record each, in order.
        key: The tenant's.
        notes: Checkpoints that were kept elsewhere; the export's own are looked at as well.
        mac_key: The tenant's MAC key, if it is known.

    Raises:
        CannotLookError: It is no export.
    """
    numbered = enumerate(lines, 1)
    first = next((_object(line, "the first line") for _, line in numbered), {})
    if first.get("format") != FORMAT or _number(first.get("version")) != 1:
        raise CannotLookError(f"the first line does not say {FORMAT}, version 1")
    own = first.get("checkpoints")
    look = _Look(key, [*notes, *(own if isinstance(own, list) else ())], mac_key)
    look.begin(first.get("head"))
    look.begin_removed(first.get("removed"))
    for number, line in numbered:
        # A line that nobody can read hides none of those after it.
        what = f"line {number} of the export"
        try:
            record = _object(line, what)
            if "leaves" in record:
                look.look_at_leaves(record)
            else:
                look.look(record)
        except CannotLookError as exc:
            look.report.note("enumeration", None, str(exc))
        except RecursionError:
            # What could be read only just is too deep to be written again.
            look.report.note("enumeration", None, f"{what} is nested too deeply")
    return look.end()


def verify_proof(text: str, key: Key, notes: Sequence[str] = ()) -> Report:
    """Verify a proof, as the API gives it.

    Args:
        text: JSON: of inclusion, which has a ``leaf``, or of consistency, with an ``old_size``.
        key: The tenant's.
        notes: Checkpoints that were kept elsewhere; the proof's own are looked at as well.

    Raises:
        CannotLookError: It is no proof.
    """
    proof = _object(text, "the proof")
    own = [proof.get(name) for name in ("old_checkpoint", "checkpoint")]
    look = _Look(key, [*notes, *(note for note in own if isinstance(note, str))], None)
    try:
        if "leaf" in proof:
            _look_at_inclusion(look, proof)
        else:
            _look_at_consistency(look, proof)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise CannotLookError("it is no proof: a member is missing, or is not what it is") from None
    return look.report


def _look_at_inclusion(look: "_Look", proof: dict[str, Any]) -> None:
    note, leaf = look.report.note, proof["leaf"]
    seq, size = _place(proof["seq"]), _place(proof["size"])
    record = _object(leaf, "the leaf")
    raw = leaf.encode("utf-8", "surrogatepass")
    if leaf_bytes(record) != raw or record["v"] != 1 or record["id"] != proof["record_id"]:
        note("enumeration", seq, "the leaf is not the canonical form of the record")
    if record["tenant"] != look.key.tenant:
        note("enumeration", seq, "the record is of another tenant")
    hashed = hashlib.sha256(b"\x00" + raw).digest()
    path = _path(proof["hashes"])
    root = root_of_inclusion(seq - 1, size, hashed, path)
    if root is None or root.hex() != proof["root"]:
        note("tree", seq, f"the hashes do not lead from record {seq} to the root")
    look.require(size, bytes.fromhex(proof["root"]))
    action, actor, target, at = (
        _told(record[name]) for name in ("action", "actor", "target", "at")
    )
    look.report.proved = (
        f"record {seq} ({action} by {actor} on {target}, {at}) is in the signed tree of {size}"
    )


def _look_at_consistency(look: "_Look", proof: dict[str, Any]) -> None:
    old_size, size = _place(proof["old_size"]), _place(proof["size"])
    old_root, root = bytes.fromhex(proof["old_root"]), bytes.fromhex(proof["root"])
    path = _path(proof["hashes"])
    if not proves_consistency(old_size, old_root, size, root, path):
        look.report.note("tree", None, f"the tree of {size} does not begin with that of {old_size}")
    look.require(old_size, old_root)
    look.require(size, root)
    look.report.proved = f"the signed tree of {size} begins with the signed one of {old_size}"


def _place(value: Any) -> int:
    """A number of a leaf or of a tree.

    Raises:
        ValueError: It is none that a tree can have.
    """
    number = _number(value)
    if number is None or not 0 <= number <= MOST_RECORDS:
        raise ValueError("no number of a tree")
    return number


def _path(value: Any) -> list[bytes]:
    """The hashes of a proof.

    Raises:
        ValueError: They are no list, more than any tree has, or one is no hash.
    """
    found = [bytes.fromhex(one) for one in value] if isinstance(value, list) else []
    if not isinstance(value, list) or len(found) > 128 or any(len(one) != 32 for one in found):
        raise ValueError("no hashes of a tree")
    return found


def read_notes(text: str, name: str = "") -> list[str]:
    """The notes of a file: one as it is, or one a line as checkpoints are published.

    Args:
        text: Of the file.
        name: Of the trail's key. What is published is of all trails: the lines that speak of
            another one are passed over. Empty: none is.

    Raises:
        CannotLookError: It is neither; or what was published has nothing of this trail.
    """
    if not text.lstrip().startswith("{"):
        return [text]
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            note = _object(line, f"line {number} of the checkpoints").get("checkpoint")
            if not isinstance(note, str):
                raise CannotLookError("a file of checkpoints has a line that is none")
            found.append(note)
    own = [note for note in found if not name or note.partition("\n")[0] == name]
    if not own:
        raise CannotLookError(f"a file of checkpoints has none of {_told(name)}")
    return own


def say(report: Report) -> str:
    """The report for people."""
    lines = [f"FAIL  {by:<12} {detail}" for by, _, detail in report.findings]
    younger = report.records - report.signed
    if not report.findings and report.proved:
        lines.append(f"ok    {report.proved}")
    elif not report.findings:
        lines.append(f"ok    {report.records} records, tree {report.root}")
        if younger:
            lines.append(f"      {younger} of them are younger than the newest checkpoint")
    if report.removed:
        lines.append(
            f"      those up to {report.removed} were let go by retention ({report.removed_at}),"
            " as a signed statement says"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--export", type=Path, help="the trail, JSON lines")
    what.add_argument("--proof", type=Path, help="a proof, as the console and the API give it")
    parser.add_argument("--key", required=True, type=Path, help="file with the public key, a vkey")
    parser.add_argument(
        "--checkpoint", action="append", default=[], type=Path, help="one that was kept elsewhere"
    )
    parser.add_argument(
        "--mac-key", type=Path, help="file with the tenant's MAC key, hex: a secret"
    )
    chosen = parser.parse_args(arguments)
    try:
        if chosen.proof is not None:
            report = verify_proof_file(chosen.proof, chosen.key, chosen.checkpoint)
        else:
            report = verify_files(chosen.export, chosen.key, chosen.checkpoint, chosen.mac_key)
    except (CannotLookError, OSError, UnicodeDecodeError) as exc:
        sys.stderr.write(f"{parser.prog}: {exc}\n")
        return 2
    sys.stdout.write(say(report) + "\n")
    return 1 if report.findings else 0


def verify_files(
    export: Path, key: Path, checkpoints: Sequence[Path] = (), mac_key: Path | None = None
) -> Report:
    """Verify what lies in files.

    Raises:
        CannotLookError: One of them does not hold what it should.
    """
    secret = None
    if mac_key is not None:
        try:
            secret = bytes.fromhex(mac_key.read_text().strip())
        except ValueError:
            raise CannotLookError("the MAC key is not written in hex") from None
    own = Key(key.read_text("utf-8"))
    # No other end of a line than ours: U+000D inside of one is part of it.
    with export.open(encoding="utf-8", newline="\n") as lines:
        return verify(lines, own, _kept(checkpoints, own), secret)


def verify_proof_file(proof: Path, key: Path, checkpoints: Sequence[Path] = ()) -> Report:
    """Verify a proof that lies in a file.

    Raises:
        CannotLookError: It is none, or another file does not hold what it should.
    """
    own = Key(key.read_text("utf-8"))
    return verify_proof(proof.read_text("utf-8"), own, _kept(checkpoints, own))


def _kept(checkpoints: Sequence[Path], key: Key) -> list[str]:
    return [note for path in checkpoints for note in read_notes(path.read_text("utf-8"), key.name)]


if __name__ == "__main__":
    sys.exit(main())
