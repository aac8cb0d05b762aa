"""How time and memory grow with the data: sentences from 10,000 to 1,000,000, pictures to 10,000.

Every size is measured once, in a process of its own, so that its peak of memory is its own. The
data are made: words with Zipf's frequencies, a twelfth of them entities; pictures of noise. Memory
is what the process has grown by at its peak since its start (imports included before). Features
are as large as those of ResNet-18, of an encoder that costs a fifteenth.
"""

from __future__ import annotations

import io
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, Figure, Result, Row, Settings

SENTENCES = (10_000, 100_000, 1_000_000)
PICTURES = (1_000, 10_000)
QUICK = ((300, 900), (20, 40))
MOST = 1.5
"""How much dearer an item of the largest size may be than one of the smallest."""


def run(settings: Settings) -> Result:
    sizes = QUICK if settings.calls == 1 else (SENTENCES, PICTURES)
    rows, figures = [], []
    for kind, counts in zip(("sentences", "pictures"), sizes, strict=True):
        made = {count: _in_a_process(kind, count) for count in counts}
        first, last = counts[0], counts[-1]
        for step in made[first]:
            for count in counts:
                wall, cpu, memory = made[count][step]
                name = f"{count:,} {kind}: {step} ({memory:,.0f} MB)"
                rows.append(Row(name, wall, cpu, count / wall if wall else None))
            share = [
                (made[last][step][clock] / last) / max(1e-9, made[first][step][clock] / first)
                for clock in (0, 1)
            ]
            name = f"{step}: one of {last:,} / one of {first:,} {kind}"
            figures.append(Figure(name, *share, at_most=MOST))
    return Result(
        "Growth with the data",
        "none",
        "a second",
        rows,
        figures,
        ["In brackets the growth of the process's peak of memory up to the end of the step."],
    )


def _in_a_process(kind: str, count: int) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory(prefix="zoo-scale-") as name:
        folder = Path(name) / "data"
        folder.mkdir()
        (write_sentences if kind == "sentences" else write_pictures)(folder, count)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.scale", kind, str(folder)],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    measured: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return measured


def write_sentences(folder: Path, count: int) -> None:
    """A dataset of IMGID blocks; eight tenths of it are train."""
    rng = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(100_000)]
    shares = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    number = 0
    for split, part in (("train", count * 8 // 10), ("dev", count // 10), ("test", count // 10)):
        with (folder / f"{split}.txt").open("w") as file:
            for _ in range(part):
                number += 1
                drawn = rng.choices(words, cum_weights=shares, k=rng.randint(5, 30))
                tags = [
                    f"B-{rng.choice(('PER', 'LOC', 'ORG'))}" if rng.random() < 1 / 12 else "O"
                    for _ in drawn
                ]
                tags[0] = "B-PER"
                rows = "\n".join(map("\t".join, zip(drawn, tags, strict=True)))
                file.write(f"IMGID:{number}\n{rows}\n\n")


def write_pictures(folder: Path, count: int) -> None:
    """Pictures of noise, 256 pixels square, every one another."""
    from PIL import Image

    rng = random.Random(0)
    noise = Image.frombytes("RGB", (32, 32), rng.randbytes(3 * 32 * 32)).resize((256, 256))
    for number in range(count):
        noise.paste((number % 256, number // 256 % 256, 0), (0, 0, 32, 32))
        data = io.BytesIO()
        noise.save(data, "JPEG")
        (folder / f"{number}.jpg").write_bytes(data.getvalue())


def sentences(folder: Path) -> dict[str, Callable[[dict[str, Any]], Any]]:
    from zoo.build import Learnt
    from zoo.data.bio import Bio
    from zoo.data.fingerprint import fingerprint
    from zoo.evaluation.scores import score
    from zoo.tags import read_all, write_tags

    def scoring(state: dict[str, Any]) -> float:
        gold = state["tags"]
        return score(read_all(gold), read_all(gold)).f1

    def tags(state: dict[str, Any]) -> list[list[str]]:
        samples = [sample for split in state["reading"].values() for sample in split]
        return [list(map(sys.intern, write_tags(s.entities, len(s.words)))) for s in samples]

    return {
        "reading": lambda _: Bio(folder.parent, path=folder.name).read(),
        "fingerprint": lambda state: fingerprint(state["reading"]),
        "vocabulary": lambda state: Learnt.of(state["reading"]["train"]),
        "tags": tags,
        "scoring from tags": scoring,
    }


def pictures(folder: Path) -> dict[str, Callable[[dict[str, Any]], Any]]:
    import torch

    from zoo.data.fingerprint import fingerprint
    from zoo.encoders.frozen import Frozen
    from zoo.encoders.small import SmallCNN
    from zoo.types import Picture, Sample

    samples = [
        Sample(path.stem, ("x",), picture=Picture(path.name, path))
        for path in sorted(folder.glob("*.jpg"))
    ]
    cache = folder / "cache"
    time.sleep(3)  # a file written a moment ago is not remembered
    torch.manual_seed(0)
    cnn = SmallCNN(width=512, size=56)

    def features(_: dict[str, Any]) -> str:
        frozen = Frozen(cnn, cache)
        for sample in samples:
            frozen.prepare(sample)
        return frozen.kept.digest()

    def read(_: dict[str, Any]) -> None:
        frozen = Frozen(cnn, cache)
        asked = [frozen.prepare(sample) for sample in samples]
        for start in range(0, len(asked), 16):
            frozen.collate(asked[start : start + 16])

    return {
        "digests": lambda _: fingerprint({"train": samples}, cache),
        "digests remembered": lambda _: fingerprint({"train": samples}, cache),
        "features": features,
        "features read in batches": read,
    }


def _peak() -> float:
    """MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(kind: str, folder: Path) -> None:
    """Measure one size: wall and CPU seconds and MB of each step, as JSON."""
    measured: dict[str, list[float]] = {}
    steps = {"sentences": sentences, "pictures": pictures}[kind](folder)
    state: dict[str, Any] = {}
    before = _peak()
    for step, do in steps.items():
        wall, cpu = time.perf_counter(), time.process_time()
        state[step] = do(state)
        spent = [time.perf_counter() - wall, time.process_time() - cpu]
        if step != "tags":  # what scoring is given
            measured[step] = [*spent, _peak() - before]
    print(json.dumps(measured))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
