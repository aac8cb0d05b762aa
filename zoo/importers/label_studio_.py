"""Label Studio: tasks with annotations (JSON), or one record a task (JSON-MIN)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.data.records import CharSpan
from zoo.importers.documents import Document
from zoo.importers.formats import label_studio_values
from zoo.importers.json_records import records
from zoo.importers.record import IMAGES, facts


def read(file: Path, names: list[str] | None) -> Iterator[Document]:
    """See :func:`zoo.importers.formats.read`. Of several annotations the one that is marked as
    ground truth is taken, else the first."""
    for where, task in records(file):
        if not isinstance(task, dict):
            yield Document(where, faults=[f"{where}: not a task of Label Studio"])
        elif isinstance(task.get("data"), dict):
            yield _task(task, where)
        else:
            yield _min(task, where)


def _min(task: Mapping[str, Any], where: str) -> Document:
    """A record of JSON-MIN, where tasks without entities have no labels at all."""
    values = label_studio_values(task)
    made = _made(task, values, where)
    label = task.get("label")
    if label and not (isinstance(label, list) and all(isinstance(e, dict) for e in label)):
        made.faults.append(f"{where}: `label` holds no entities of a text, but {str(label)[:40]}")
    return made


def _task(task: Mapping[str, Any], where: str) -> Document:
    done = [
        each
        for each in task.get("annotations") or task.get("completions") or []
        if isinstance(each, dict) and not each.get("was_cancelled")
    ]
    done.sort(key=lambda each: not each.get("ground_truth"))
    results = done[0].get("result") or [] if done else []
    spans = [
        each
        for each in results
        if isinstance(each, dict) and isinstance(each.get("value"), dict) and _is_span(each)
    ]
    own = [
        each for each in spans if _labels(each["value"]) or "paragraphlabels" not in each["value"]
    ]
    of_text, faults = _of_text(own, task["data"], where)
    made = _made({"id": task.get("id"), **task["data"]}, [e["value"] for e in of_text], where)
    made.faults += faults
    made.noticed += ["elsewhere"] * (len(spans) - len(of_text))
    if len(done) > 1 and not done[0].get("ground_truth"):
        made.noticed.append("several")
    if not done:
        made.faults.append(f"{where}: the task has no annotation; export finished tasks only")
    return made


def _is_span(result: Mapping[str, Any]) -> bool:
    return result.get("type") in (None, "labels", "hypertextlabels", "paragraphlabels")


def _of_text(
    results: Sequence[Mapping[str, Any]], data: Mapping[str, Any], where: str
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The labels that are of the text, not of another text of the task; and what is wrong: their
    control has a name of its own, and there are several."""
    texts, key = _text(data)
    others = {text for text in texts if text != key}
    found = [each for each in results if each.get("to_name") not in others]
    controls = dict.fromkeys(each["to_name"] for each in found if each.get("to_name"))
    if len(controls) < 2:
        return found, []
    if key in controls:
        return [each for each in found if each.get("to_name") in (None, key)], []
    told = ", ".join(map(str, controls))
    return found, [f"{where}: labels of several texts ({told}); name that of the text `{key}`"]


def _made(data: Mapping[str, Any], values: Any, where: str) -> Document:
    made = Document(where, **facts(data, where), utf16=True)
    texts, key = _text(data)
    if key is None:
        said = f"holds {', '.join(texts)}" if texts else "holds none"
        made.faults.append(f"{where}: name the text of a task `text`; its data {said}")
        return made
    made.text = _counted(data[key], values)
    made.extra = {
        name: value for name, value in made.extra.items() if name != key and name in texts
    }
    spans: list[CharSpan] = []
    for value in values if isinstance(values, list) else []:
        labels = _labels(value)
        whole = value.get("globalOffsets")  # of hypertext, where the others count within a tag
        match {**value, **whole} if isinstance(whole, dict) else value:
            case {"start": int(start), "end": int(end)} if isinstance(labels, list) and labels:
                if len(labels) > 1:
                    made.faults.append(
                        f"{where}: the entity {start}–{end} has several labels "
                        f"({', '.join(map(str, labels))}); keep one"
                    )
                repeated = _said(value)
                spans.append(CharSpan(start, end, str(labels[0]), repeated))
            case _:
                made.faults.append(
                    f"{where}: an annotation has no `start`, `end` and `labels` of a text"
                )
    made.spans = spans
    return made


def _text(data: Mapping[str, Any]) -> tuple[list[str], str | None]:
    """The names of a task's texts, and of that which has the entities."""
    texts = [key for key, value in data.items() if key != "id" and _is_text(key, value)]
    return texts, "text" if "text" in texts else texts[0] if len(texts) == 1 else None


def _labels(value: Mapping[str, Any]) -> Any:
    return value.get("labels") or value.get("hypertextlabels")


def _said(value: Mapping[str, Any]) -> str | None:
    said = value.get("text")
    return said.replace("\\n", "\n") if isinstance(said, str) else None


def _counted(text: str, values: Any) -> str:
    """The text that offsets count: a browser drops CR before LF."""
    bare = text.replace("\r\n", "\n")
    if bare == text or not isinstance(values, list):
        return text

    def fits(text: str) -> int:
        units, fitting = text.encode("utf-16-le", "surrogatepass"), 0
        for value in values:
            match value:
                case {"start": int(start), "end": int(end), "text": str()}:
                    there = units[2 * start : 2 * end].decode("utf-16-le", "replace")
                    words = (_said(value) or "").split()
                    fitting += words in (there.split(), text[start:end].split())
        return fitting

    return max((text, bare), key=fits)


def _is_text(key: str, value: Any) -> bool:
    known = {"annotator", "created_at", "updated_at", "caption", "language", *IMAGES}
    return isinstance(value, str) and key not in known and not _is_address(value)


def _is_address(value: str) -> bool:
    """Whether a value is the address of a text or picture, and no text that has one in it."""
    return "://" in value and len(value.split()) == 1
