"""The model card: what a reader of a shared model has to know, in the hub's form."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.errors import shown
from zoo.model.citations import entries, of_class
from zoo.model.description import About, Description, Score
from zoo.yaml import dump

TASK = "token-classification"


def card(found: Description) -> str:
    """README.md: metadata as the hub reads it, then data, scores, training, limits, citation."""
    return f"---\n{dump(_metadata(found))}---\n\n{_text(found)}"


def _metadata(found: Description) -> dict[str, Any]:
    about = found.about
    data: dict[str, Any] = {
        "library_name": found.library,
        "pipeline_tag": TASK,
        "tags": ["named-entity-recognition", "multimodal", "mner-zoo", found.name],
    }
    if found.languages:
        data["language"] = list(found.languages)
    base = [each.model for each in found.references if each.kind == "hub"]
    if base:
        data["base_model"] = list(dict.fromkeys(base))
    if about is not None and about.test is not None:
        metrics = [
            {"type": name, "name": f"{name} (exact span, micro)", "value": round(value, 2)}
            for name, value in (
                ("f1", about.test.f1),
                ("precision", about.test.precision),
                ("recall", about.test.recall),
            )
        ]
        result = {
            "task": {"type": TASK, "name": "Named entity recognition"},
            "dataset": {"type": about.dataset, "name": about.dataset, "split": "test"},
            "metrics": metrics,
        }
        data["model-index"] = [{"name": found.name, "results": [result]}]
    return data


def _text(found: Description) -> str:
    about = found.about
    reads = ", ".join(found.sees)
    parts = [
        f"# {_plain(found.name)}",
        "A model for multimodal named entity recognition, trained with "
        f"zoo {found.zoo}. It reads {reads} and finds entities of the types "
        f"{', '.join(f'`{_plain(each)}`' for each in found.types)}.",
        "## Use",
        "```python\nimport zoo\n\n"
        'model = zoo.load("THIS-MODEL")  # its name on the hub, or a folder\n'
        f"model.predict({_example(found)})\n```",
        *_needs(found),
    ]
    if about is not None:
        parts += [*_data(about), *_scores(about), *_training(found, about)]
    parts += [
        "## Limits",
        "It was trained on the data named here and finds entities of these types in sentences like "
        "those. Scores on other sources, languages or times may be much lower. "
        + (
            "A post without a picture is read by its words alone. "
            if "picture" in found.sees
            else ""
        )
        + "Probabilities are the decoder's own and are not calibrated.",
        "## Citation",
        *_citation(found),
    ]
    return "\n\n".join(parts) + "\n"


def _example(found: Description) -> str:
    picture = ', picture="post.jpg"' if "picture" in found.sees else ""
    caption = ', caption="…"' if "caption" in found.sees else ""
    return f'"A sentence."{picture}{caption}'


def _needs(found: Description) -> list[str]:
    """Plug-ins and models that are not in the folder."""
    lines = [
        f"- the {part.kind} `{part.name}`, from "
        + (f"the plug-in file `{part.file}`" if part.file else f"the package `{part.package}`")
        for part in found.parts
        if part.file or part.package != "mner-zoo"
    ]
    lines += [
        f"- the model `{_name(each.model)}` ({each.kind}, {each.digest[:12]})"
        for each in found.references
        if each.copy_in is None
    ]
    return ["It needs:", "\n".join(dict.fromkeys(lines))] if lines else []


def _name(model: str) -> str:
    """A model's name; of a path the last step alone, which tells nothing of a machine."""
    return _plain(Path(model).name if model.startswith(("/", "~", ".")) else model)


def _data(about: About) -> list[str]:
    sizes = ", ".join(f"{count:,} {split}" for split, count in about.sentences.items())
    notes = [f"- {_plain(note)}" for note in about.notes]
    lines = f"Data set `{_plain(about.dataset)}` (fingerprint `{about.fingerprint[:12]}`)"
    lines += f": {sizes} sentences." if sizes else "."
    if about.tags:
        lines += f" Tags were read into entities in the {about.tags} way."
    return ["## Data", lines, *(["\n".join(notes)] if notes else [])]


def _scores(about: About) -> list[str]:
    rows = [
        f"| {split} | {score.precision:.2f} | {score.recall:.2f} | {_f1(score)} |"
        for split, score in (("dev", about.dev), ("test", about.test))
        if score is not None
    ]
    if not rows:
        return []
    return [
        "## Scores",
        "\n".join(["| split | P | R | F1 (95 % interval) |", "|---|---:|---:|---:|", *rows]),
        "Exact-span micro scores in percent: type and boundaries must be right. The interval is "
        "that of this one trained model under other sentences of the same kind; other seeds vary "
        "besides. "
        + (
            "There was no test split: the epoch was chosen by these very scores, which are too "
            "high for it."
            if about.test is None
            else "The epoch was chosen on dev, and test was read once."
        ),
    ]


def _f1(score: Score) -> str:
    if score.low is None or score.high is None:
        return f"{score.f1:.2f}"
    return f"{score.f1:.2f} ({score.low:.2f} to {score.high:.2f})"


def _training(found: Description, about: About) -> list[str]:
    settings = ", ".join(
        f"{key} {value}"
        for key, value in about.settings.items()
        if value is not None and key != "learning_rates"
    )
    rates = about.settings.get("learning_rates") or {}
    if isinstance(rates, dict):
        settings += "".join(f", learning rate {rate} for `{name}`" for name, rate in rates.items())
    text = f"Seed {found.seed}, epoch {about.best_epoch} of {about.epochs} was best on dev"
    text += f"; recipe `{about.recipe}`" if about.recipe else ""
    text += f" ({settings})" if settings else ""
    text += f"; precision {found.precision}"
    text += f"; {about.parameters:,} parameters" if about.parameters else ""
    text += f". Run `{found.run}`, harness {found.harness}."
    versions = ", ".join(f"{name} {value}" for name, value in found.versions.items())
    system = f"```yaml\n{dump(found.system)}```"
    return ["## Training", text, f"Versions: {versions}.", "The system:", system]


def _citation(found: Description) -> list[str]:
    """What is to be cited, with the BibTeX of it as far as it is known."""
    own = re.findall(r"[\w-]+", found.about.cites or "") if found.about else []
    parts = [key for p in found.parts for key in of_class(registry.resolve(p.kind, p.name))]
    keys = list(dict.fromkeys([*own, *parts]))
    text = "The model was trained with zoo. Cite the data set"
    if own:
        text += f", the paper that the system follows (`{'`, `'.join(own)}`)"
    if any(key not in own for key in keys):
        text += " and the papers of its parts"
    known = [entries()[key] for key in keys if key in entries()]
    return [f"{text}.", *(["```bibtex\n" + "\n\n".join(known) + "\n```"] if known else [])]


def _plain(text: str) -> str:
    """Text that is no markup and shows what can't be seen."""
    return shown(text).replace("`", "'").replace("<", "&lt;").replace("|", "\\|")
