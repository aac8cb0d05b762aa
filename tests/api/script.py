"""A user's script that uses the public API alone; mypy --strict must pass on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import zoo


def posts(folder: Path) -> Iterator[zoo.Sample]:
    for path in sorted(folder.glob("*.jpg")):
        yield zoo.Sample(path.stem, ("A", "word"), picture=zoo.Picture(path.name, path))


def best(runs: list[zoo.TrainedRun]) -> zoo.Model:
    run = max(runs, key=lambda each: each.dev.f1)
    path: Path = run.folder
    assert path.is_dir()
    return run.load()


def main() -> float:
    splits: dict[str, list[zoo.Sample]] = zoo.read("mini")
    model = best(zoo.run(systems=["bert-crf"], seeds=[1], jobs=None))
    found: zoo.Prediction = model.predict("Anna in Paris", picture=Path("photo.jpg"))
    for entity in found.entities:
        place: tuple[int, int] | None = entity.characters
        print(entity.start, entity.end, entity.type, round(entity.score, 2), place)
    several = list(model.predict_all(posts(Path("photos"))))
    words = [word for word, start, end in zoo.split_words("Anna in Paris") if end > start]
    gold = [sample.entities for sample in splits["test"]]
    scores: zoo.Scores = zoo.score(gold, [[(0, 1, "PER")] for _ in gold])
    compared: zoo.Comparison = zoo.compare("bert-crf", "smner")
    try:
        zoo.load("someone/model", revision="main").save_pretrained("out", whole=True)
    except zoo.ZooError as error:
        print(*error.problems, sep="\n")
    types: list[str] = zoo.Model.from_pretrained("out").types
    return scores.f1 + compared.delta + len(several) + len(words) + len(types)


if __name__ == "__main__":
    main()
