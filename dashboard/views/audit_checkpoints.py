"""Checkpoints: the signed states of the trail, the key they are verified with, and proofs."""

from __future__ import annotations

from typing import Final

import msgspec
import streamlit as st

from dashboard import client, pages, state
from dashboard.client import Api, models
from dashboard.pages import Column, ListPage
from dashboard.widgets import confirm, markup, problems

_JSON: Final = "application/json"
_NOTE: Final = "text/plain; charset=utf-8"


def _state(one: models.AuditCheckpointOut) -> str:
    return "published" if one.published_at else "signed"


def _name(one: models.AuditCheckpointOut) -> str:
    records = "record" if one.size == 1 else "records"
    return f"Checkpoint of {one.size:,} {records}"


def proof_file(proof: models.InclusionProofOut | models.ConsistencyProofOut) -> bytes:
    """Return a proof as the offline verifier takes it: the API's answer, and nothing else."""
    return msgspec.json.format(msgspec.json.encode(proof), indent=2) + b"\n"


def save_proof(
    proof: models.InclusionProofOut | models.ConsistencyProofOut, name: str, key: str
) -> None:
    """Draw the way to a proof's file, and how it is checked where this platform is not."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Save the proof",
            proof_file(proof),
            file_name=f"{name}.proof.json",
            mime=_JSON,
            key=key,
            icon=":material/download:",
            on_click="ignore",
            type="primary",
        )
        markup.note("Checked offline, with the public key that was kept:")
    st.code(
        f"email-sender audit-verify --proof {name}.proof.json --key trail.key",
        language=None,
        wrap_lines=True,
    )


def _below(one: models.AuditCheckpointOut) -> None:
    """Draw the note itself, and what can be proved by this checkpoint."""
    markup.label("The signed note")
    st.code(one.note, language=None, wrap_lines=True)
    st.download_button(
        "Save the signed note",
        one.note,
        file_name=f"{one.size}.checkpoint",
        mime=_NOTE,
        key="audit-checkpoints-note",
        icon=":material/download:",
        on_click="ignore",
    )
    _growth(one)
    _inclusion(one)


def _growth(one: models.AuditCheckpointOut) -> None:
    """Draw the proof that this tree begins with an older one."""
    session = state.current()
    listed = session.api.list_audit_checkpoints(limit=client.EXPORT_LIMIT).items
    older = {each.size: each for each in listed if each.size < one.size}
    markup.section("Proof that nothing older was changed")
    if not older:
        markup.note("There is no older checkpoint to compare with.")
        return
    size = st.selectbox(
        "Since the checkpoint of",
        list(older),
        index=None,
        placeholder="Choose an older one",
        format_func=lambda each: f"{each:,} records, {markup.when(older[each].created_at)}",
        key=f"audit-checkpoints-since-{one.size}",
        width=420,
    )
    if size is not None:
        proof = session.api.get_audit_consistency(old_size=int(size), size=one.size)
        markup.note(
            f"The {one.size:,} records begin with the same {int(size):,}, by {len(proof.hashes)} "
            "hashes from one signed root to the other."
        )
        save_proof(proof, f"{size}-to-{one.size}", "audit-checkpoints-growth")


def _inclusion(one: models.AuditCheckpointOut) -> None:
    """Draw the proof that a record is under this checkpoint."""
    markup.section("Proof that a record is under it")
    record = st.text_input(
        "Id of the record",
        key=f"audit-checkpoints-record-{one.size}",
        placeholder="0199c0de-…",
        help="As the opened record on the page Audit tells it, where a proof is to be had as well.",
        width=420,
    ).strip()
    if record:
        with problems.guard():
            proof = state.current().api.get_audit_proof(record, size=one.size)
            markup.note(
                f"Record {proof.seq:,} of {one.size:,}, by {len(proof.hashes)} hashes to the root."
            )
            save_proof(proof, f"record-{proof.seq}", "audit-checkpoints-inclusion")


PAGE: Final = ListPage(
    key="audit-checkpoints",
    of=models.AuditCheckpointOut,
    title="Checkpoints",
    lead="Signed states of the trail. Keep one where nobody here can reach it.",
    noun="checkpoint",
    nothing="The trail is signed by itself, some minutes after a record is written.",
    fetch=Api.list_audit_checkpoints,
    name=_name,
    columns=(
        Column("size", "Records", "strong", lambda one: f"{one.size:,}"),
        Column("created_at", "Signed", "time"),
        Column("state", "State", "badge", _state),
        Column("root", "Root", "code"),
    ),
    facts=(Column("published_at", "Handed outside", "time", none="not so far"),),
    export=("id", "size", "root", "created_at", "published_at", "note"),
    below=_below,
)


def page() -> None:
    """Draw the key, and the checkpoints with what they prove."""
    pages.heading(PAGE, _sign)
    with problems.guard():
        _key(state.current().api.get_audit_key())
    pages.draw_list(PAGE)


def _sign() -> None:
    """Draw the way to a checkpoint of now, for who may verify the trail."""
    session = state.current()
    if session.can("audit:verify") and st.button(
        "Sign now", key="audit-checkpoints-sign", icon=":material/draw:"
    ):
        with problems.guard():
            made = session.api.sign_audit_checkpoint()
            st.session_state[f"{PAGE.key}-open"] = made.id
            confirm.say_after_rerun(f"{made.size:,} records are signed.")
            st.rerun()


def _key(key: models.AuditKeyOut) -> None:
    """Draw the public key, which has to be taken away before it is needed."""
    with st.container(key="card-audit-key"):
        markup.section("The public key to keep")
        markup.note(
            "Keep it away from this platform, with a checkpoint: what anybody changed later, even "
            "who has the database, does not agree with them. What stands here could be changed too."
        )
        st.code(key.vkey, language=None, wrap_lines=True)
        st.download_button(
            "Save the key",
            f"{key.vkey}\n",
            file_name="trail.key",
            mime=_NOTE,
            key="audit-checkpoints-key",
            icon=":material/download:",
            on_click="ignore",
        )


if __name__ == "__main__":
    page()
