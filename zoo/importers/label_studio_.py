"""Label Studio: tasks with annotations (JSON), or one record a task (JSON-MIN)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo.data.records import CharSpan
from zoo.importers.documents import Document
from zoo.importers.json_records import records
from zoo.importers.record import facts


def read(file: Path, names: list[str] | None) -> Iterator[Document]:
    """See :func:`zoo.importers.formats.read`. Of several annotations the one that is marked as
    ground truth is taken, else the first."""
    for where, task in records(file):
        if not isinstance(task, dict):
            yield Document(where, faults=[f"{where}: not a task of Label Studio"])
        elif isinstance(task.get("data"), dict):
            yield _task(task, where)
        else:
            yield _made(task, task.get("label") or [], where)


def _task(task: Mapping[str, Any], where: str) -> Document:
    done = [
        each
        for each in task.get("annotations") or task.get("completions") or []
        if isinstance(each, dict) and not each.get("was_cancelled")
    ]
    done.sort(key=lambda each: not each.get("ground_truth"))
    results = done[0].get("result") or [] if done else []
    values = [
        each["value"]
        for each in results
        if isinstance(each, dict) and isinstance(each.get("value"), dict) and _is_span(each)
    ]
    made = _made({"id": task.get("id"), **task["data"]}, values, where)
    if len(done) > 1 and not done[0].get("ground_truth"):
        made.noticed.append("several")
    if not done:
        made.faults.append(f"{where}: the task has no annotation; export finished tasks only")
    return made


def _is_span(result: Mapping[str, Any]) -> bool:
    return result.get("type") in (None, "labels", "hypertextlabels")


def _made(data: Mapping[str, Any], values: Any, where: str) -> Document:
    made = Document(where, **facts(data), utf16=True)
    texts = [key for key, value in data.items() if key != "id" and _is_text(key, value)]
    key = "text" if "text" in texts else texts[0] if len(texts) == 1 else None
    if key is None:
        said = f"holds {', '.join(texts)}" if texts else "holds none"
        made.faults.append(f"{where}: name the text of a task `text`; its data {said}")
        return made
    made.text = data[key]
    made.extra = {
        name: value for name, value in made.extra.items() if name != key and name in texts
    }
    spans: list[CharSpan] = []
    for value in values if isinstance(values, list) else []:
        labels = value.get("labels") or value.get("hypertextlabels")
        whole = value.get("globalOffsets")  # of hypertext, where the others count within a tag
        match {**value, **whole} if isinstance(whole, dict) else value:
            case {"start": int(start), "end": int(end)} if isinstance(labels, list) and labels:
                if len(labels) > 1:
                    made.faults.append(
                        f"{where}: the entity {start}–{end} has several labels "
                        f"({', '.join(map(str, labels))}); keep one"
                    )
                said = value.get("text")
                spans.append(
                    CharSpan(start, end, str(labels[0]), said if isinstance(said, str) else None)
                )
            case _:
                made.faults.append(
                    f"{where}: an annotation has no `start`, `end` and `labels` of a text"
                )
    made.spans = spans
    return made


def _is_text(key: str, value: Any) -> bool:
    from zoo.importers.record import IMAGES

    known = {"annotator", "created_at", "updated_at", "caption", "language", *IMAGES}
    return isinstance(value, str) and key not in known and "://" not in value
