"""The record of one inspection: what was seen, who judged it when, by which versions, and the audit behind it.

Rules of this file:
- Nothing recorded is left out silently: what does not fit is counted.
- At most MAX_PICTURES pictures: with their size that bounds the document, whatever was photographed.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from edge_agent.inspection.trace import Trace
from edge_agent.models import AiInspection, Image, SnapshotItem, Verification
from edge_agent.paper.sheet import Sheet
from edge_agent.paper.words import Print, Words

MAX_PICTURES = 40
MAX_FINDINGS = 20
SHOWN_LISTS = ("measurements", "texts", "codes", "classes", "scores", "objects", "reasons")
HIDDEN_FACTS = ("step", "box_px", "polygon_px")
AUDIT_SHARES = (0.05, 0.23, 0.12, 0.12, 0.48)

Picture = Callable[[Image], bytes | None]
"""The JPEG to print of an image: a small one, with what the AI found drawn on it; None where there is none."""


def session_pdf(trace: Trace, words: Words, printed: Print, picture: Picture) -> bytes:
    """The document; `picture` is asked for one image at a time."""
    sheet = Sheet(words("record"), f"{trace.session.id} · {words.time(printed.at)}", words.language)
    _head(sheet, trace, words, printed)
    for item in trace.items:
        _item(sheet, trace, item, words, picture)
    whole = [one for one in trace.verifications if one.item_id is None]
    if whole:
        sheet.heading(words("whole"))
        for verification in whole:
            _given(sheet, verification, words)
    _decisions(sheet, trace, words)
    sheet.heading(words("audit"))
    heads = [words(key) for key in ("number", "at", "actor", "action")]
    rows = [
        [str(one.seq), words.time(one.created_at), one.actor, one.action, one.sha256]
        for one in reversed(trace.audit)
    ]
    sheet.table([*heads, "SHA-256"], rows, AUDIT_SHARES)
    return sheet.to_pdf()


def _head(sheet: Sheet, trace: Trace, words: Words, printed: Print) -> None:
    session, target = trace.session, trace.target
    sheet.verdict(f"{words('result')}: {words.result(session.final_result)}", session.final_result)
    sheet.facts(
        [
            (words("product"), target.product_code),
            (words("lot"), target.batch_id or "—"),
            (words("serial"), target.serial_no or "—"),
            (words("code"), target.qr_code),
            (words("status"), words(f"status.{session.status}")),
            (words("inspector"), words.person(session.user_id)),
            (words("started"), words.time(session.started_at)),
            (words("completed"), words.time(session.completed_at)),
            (words("day"), session.work_day),
            (words("source"), session.source),
            (words("masters"), session.master_version),
            (words("reason"), session.reason or "—"),
            (words("session"), session.id),
            *printed.facts(words),
        ]
    )


def _item(sheet: Sheet, trace: Trace, item: SnapshotItem, words: Words, picture: Picture) -> None:
    kind = f"{words(f'type.{item.inspection_type}')}, {words('required' if item.required else 'optional')}"
    sheet.heading(f"{item.order_sequence}. {words.name(item.item_name)} ({item.item_code}; {kind})")
    verdict = trace.verdicts.get(item.id)
    ai, person = (verdict.ai_result, verdict.human_result) if verdict else ("", "")
    shown = f"{words('person')}: {words.result(person)}    {words('ai')}: {words.result(ai)}"
    sheet.verdict(shown, person or ai)
    sheet.facts([(words("criteria"), json.dumps(item.criteria, ensure_ascii=False, sort_keys=True))])
    images = [image for image in trace.images if image.item_id == item.id]
    given = [one for one in trace.verifications if one.item_id == item.id]
    for image in images:
        _image(sheet, trace, image, words, picture)
    for verification in given:
        _given(sheet, verification, words)
    if not (images or given):
        sheet.note(words("nothing"))


def _image(sheet: Sheet, trace: Trace, image: Image, words: Words, picture: Picture) -> None:
    if trace.images.index(image) >= MAX_PICTURES:
        sheet.note(words("no_room"))
    elif (jpeg := picture(image)) is not None:
        sheet.picture(jpeg)
    else:
        sheet.note(words("no_picture"))
    size = f"{image.width_px} × {image.height_px} px, {image.file_size:,} B, {image.mime_type}"
    source = f"{image.source} {image.origin}".strip()
    facts = [
        (
            words("captured"),
            f"{words.time(image.captured_at)} · {words.person(image.captured_by)} · {source}",
        ),
        (words("file"), f"{size} · SHA-256 {image.sha256}"),
    ]
    sheet.facts([*facts, (words("failure"), image.failure)] if image.failure else facts)
    for run in trace.ai_results:
        if run.image_id == image.id:
            _run(sheet, run, words)


def _run(sheet: Sheet, run: AiInspection, words: Words) -> None:
    sheet.facts(
        [
            (words("ai"), words.result(run.overall_result)),
            (words("confidence"), f"{run.confidence:.1%}"),
            (words("found"), _found(run, words)),
            (words("judged"), words.time(run.created_at)),
            (words("took"), f"{run.processing_time:.3f} s"),
            (words("pipeline"), f"{run.pipeline_version or '—'} · SHA-256 {run.pipeline_sha256 or '—'}"),
            (words("models"), "\n".join(run.model_sha256s) or "—"),
            (words("criteria"), f"SHA-256 {run.criteria_sha256}"),
            (words("provider"), run.provider or "—"),
        ]
    )


def _found(run: AiInspection, words: Words) -> str:
    """What was measured, read and recognised, a line each."""
    lines = [
        f"{name}: " + ", ".join(f"{key} {value}" for key, value in one.items() if key not in HIDDEN_FACTS)
        for name in SHOWN_LISTS
        for one in run.detailed_results.get(name, ())
    ]
    if len(lines) > MAX_FINDINGS:
        lines[MAX_FINDINGS:] = [words("more").format(count=len(lines) - MAX_FINDINGS)]
    return "\n".join(lines) or "—"


def _given(sheet: Sheet, given: Verification, words: Words) -> None:
    facts = [
        (words("person"), f"{words.result(given.final_result)} · {words.person(given.user_id)}"),
        (words("judged"), f"{words.time(given.created_at)} ({given.verification_time:.1f} s)"),
        (words("saw"), words("yes" if given.saw_ai else "no")),
        (words("reason"), words.reason(given.reason_code)),
        (words("notes"), given.notes or "—"),
    ]
    optional = {
        "checks": given.checks and json.dumps(given.checks, ensure_ascii=False),
        "region": given.region and ", ".join(f"{value:g}" for value in given.region),
        "supersedes": given.supersedes,
    }
    sheet.facts([*facts, *((words(name), value) for name, value in optional.items() if value)])


def _decisions(sheet: Sheet, trace: Trace, words: Words) -> None:
    if not trace.decisions:
        return
    names = {item.id: words.name(item.item_name) for item in trace.items}
    sheet.heading(words("decisions"))
    sheet.table(
        [words(key) for key in ("product", "result", "reason", "decided_by", "at")],
        [
            [
                names.get(one.item_id or "", words("whole")),
                words.result(one.final_result),
                one.reason,
                one.decided_by,
                words.time(one.decided_at),
            ]
            for one in trace.decisions
        ],
        (0.2, 0.16, 0.28, 0.16, 0.2),
    )
