"""The golden trajectory: what guards the number of the harness.

Small parts, made here, are trained from stored weights on fixed data in float64, through the real
reader, picture decoding, builder, system, batches, optimiser, schedule and trainer. Every loss,
every dev score and every decoded entity is compared with stored ones. A change that moves any of
them makes other numbers of every system: it raises ``HARNESS`` in ``zoo/identity.py``, and

    python -m tests.test_trajectory

stores the new trajectory in ``tests/golden/trajectory.json``. The initial weights stay those that
are stored; ``python -m tests.test_trajectory SEED`` draws others.
"""

from __future__ import annotations

import io
import itertools
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from zoo.build import build, read_data
from zoo.config.specs import Recipe
from zoo.data.bio import Bio
from zoo.encoders.pictures import IMAGENET, collate_pictures, normalise, read_picture, see
from zoo.evaluation.scores import Scores
from zoo.identity import HARNESS
from zoo.parts import Aligner, Decoder, Fuser, ImageEncoder, TextEncoder
from zoo.schema import PartSpec, SystemSpec
from zoo.tags import read_tags, write_tags
from zoo.training import batches, loop, optimizer
from zoo.training.loop import Trainer
from zoo.types import Alignment, Entity, Sample, ScoredEntity, Text, Units, View

GOLDEN = Path(__file__).parent / "golden" / "trajectory.json"
ADVICE = (
    "numbers changed: raise HARNESS in zoo/identity.py and regenerate with "
    "`python -m tests.test_trajectory`"
)
TOLERANCE = 1e-9
WIDTH = 4

# Data ---------------------------------------------------------------------------------------------

TRAIN = """
a: Ada/B-PER met/O Bo/B-PER in/O Rome/B-LOC
b: Rome/I-LOC sleeps/O
c: the/O river/O Po/I-LOC is/O long/O
d: Bo/B-PER sleeps/O in/O Oslo/B-LOC tonight/O again/O
e: Ada/I-PER Po/I-PER sings/O
f: Oslo/B-LOC Rome/B-LOC
g: Bo/I-PER met/O Ada/I-PER
h: the/O long/O night/O
i: in/O Rome/I-LOC Po/B-PER sings/O again/O
"""
DEV = """
a: Rome/I-LOC met/O Oslo/B-LOC
j: Ada/B-PER Bo/I-PER sings/O in/O Po/I-LOC
k: the/O night/O in/O Oslo/I-LOC
l: Bo/B-PER is/O long/O
m: Po/I-PER met/O Ada/B-PER
n: Rome/B-LOC sleeps/O again/O tonight/O
"""
TEST = """
a: Bo/B-PER Po/I-PER met/O Rome/I-LOC
o: Oslo/I-LOC sings/O
p: the/O river/O
"""
PICTURES = "abdeijklo"


def write_data(folder: Path) -> None:
    """A column file for each split, and pictures: `a` is stored turned, `b` and `d` in other modes.

    PNG loses nothing, so that every version of Pillow decodes the same pixels.
    """
    (folder / "images").mkdir(parents=True)
    for split, text in (("train", TRAIN), ("valid", DEV), ("test", TEST)):
        blocks = []
        for line in text.strip().splitlines():
            name, words = line.split(": ")
            rows = [word.replace("/", "\t") for word in words.split()]
            blocks.append("\n".join([f"IMGID:{split}-{name}", *rows]) + "\n\n")
            if name in PICTURES:
                (folder / "images" / f"{split}-{name}.png").write_bytes(picture(name))
        (folder / f"{split}.txt").write_text("".join(blocks), encoding="utf-8")


def picture(name: str) -> bytes:
    """A PNG of 5 x 3 pixels that no turning leaves as it is."""
    start = ord(name)
    values = [(start * 7 + 31 * i * i + 11 * i) % 256 for i in range(5 * 3 * 4)]
    if name == "b":
        image = Image.frombytes("RGBA", (5, 3), bytes(values))
    elif name == "d":
        image = Image.frombytes("L", (5, 3), bytes(values[:15]))
    else:
        image = Image.frombytes("RGB", (5, 3), bytes(values[:45]))
    exif = Image.Exif()
    exif[0x0112] = 6 if name == "a" else 1
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif)
    return file.getvalue()


# Parts --------------------------------------------------------------------------------------------


def weights(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(*shape, dtype=torch.float64))


class Words(TextEncoder):
    """A vector a word and the mean of its sentence's; words not in training share one."""

    def __init__(self, words: Counter[str]) -> None:
        super().__init__()
        self.width = WIDTH
        self.index = {word: i for i, word in enumerate(sorted(words), 1)}
        self.embedding = nn.Embedding(len(words) + 1, WIDTH, dtype=torch.float64)
        self.mixing = weights(WIDTH, WIDTH)

    def prepare(self, sample: Sample) -> list[int]:
        return [self.index.get(word, 0) for word in sample.words]

    def cost(self, sample: Sample, row: list[int]) -> int:
        return sum(map(len, sample.words))

    def lookups(self, row: list[int]) -> Mapping[nn.Module, set[int]]:
        """Nothing for words that are not in training."""
        return {self.embedding: {*row}}

    def collate(self, rows: Sequence[list[int]]) -> dict[str, Tensor]:
        longest = max(map(len, rows))
        padded = [row + [row[0]] * (longest - len(row)) for row in rows]
        mask = [[i < len(row) for i in range(longest)] for row in rows]
        return {"words": torch.tensor(padded), "mask": torch.tensor(mask)}

    def forward(self, inputs: Mapping[str, Tensor]) -> Text:
        mask = inputs["mask"]
        vectors = self.embedding(inputs["words"]) * mask[..., None]
        mean = vectors.sum(1) / mask.sum(1, keepdim=True)
        tokens = torch.tanh(vectors + (mean @ self.mixing)[:, None]) * mask[..., None]
        return Text(tokens, mean, mask)


class Corners(ImageEncoder):
    """A picture's four quarters."""

    def __init__(self) -> None:
        super().__init__()
        self.width, self.regions = WIDTH, 4
        self.colours = weights(3, WIDTH)

    def prepare(self, sample: Sample) -> Tensor | None:
        return read_picture(sample, 2)

    def collate(self, rows: Sequence[Tensor | None]) -> dict[str, Tensor]:
        return collate_pictures(rows, (3, 2, 2))

    def forward(self, inputs: Mapping[str, Tensor]) -> View:
        def encode(pixels: Tensor) -> tuple[Tensor, Tensor]:
            quarters = normalise(pixels, *IMAGENET).double().flatten(2).transpose(1, 2)
            place = torch.arange(1, 5, dtype=torch.float64, device=pixels.device)
            regions = torch.tanh(quarters @ self.colours) * place[:, None]
            return regions, regions.mean(1)

        return see(inputs, 4, WIDTH, encode)


class Near(Aligner):
    """Draws a sentence to its picture."""

    level = "sentence"
    loss_names = ("near",)

    def __init__(self, width: int, views: Mapping[str, Any]) -> None:
        super().__init__()
        self.views, self.names = None, list(views)
        self.bridge = weights(width, WIDTH)

    def forward(self, text: Text, views: Mapping[str, View], gold: Any) -> Alignment:
        losses = {}
        for name in self.names if gold is not None else ():
            away = (text.sentence @ self.bridge - views[name].pooled).square().mean(1)
            losses[f"near.{name}"] = (away * views[name].present).mean()
        return Alignment(text, views, losses)


class Gate(Fuser):
    """Adds what is seen to every word, through a gate."""

    level = "token"

    def __init__(self, width: int, views: Mapping[str, Any]) -> None:
        super().__init__()
        self.width, self.view = width, next(iter(views))
        self.seen = weights(WIDTH, width)
        self.gate = weights(width, width)

    def forward(self, units: Units, views: Mapping[str, View]) -> Units:
        view = views[self.view]
        seen = view.pooled.to(self.seen) @ self.seen * view.present[:, None]
        vectors = units.vectors + (units.vectors @ self.gate).sigmoid() * seen[:, None]
        return Units(vectors, units.mask, units.spans)


class Tagger(Decoder):
    """Each word's BIO tag on its own."""

    loss_names = ("tags",)

    def __init__(self, fused: int, types: list[str]) -> None:
        super().__init__()
        self.tags = ["O", *(f"{prefix}-{kind}" for kind in types for prefix in "BI")]
        self.emission = weights(fused, len(self.tags))
        self.bias = weights(len(self.tags))
        self.dropout = nn.Dropout(0.1)

    def loss(
        self, units: Units, text: Text, gold: Sequence[Sequence[Entity]]
    ) -> Mapping[str, Tensor]:
        wanted = [
            self.tags.index(tag)
            for entities, row in zip(gold, units.mask, strict=True)
            for tag in write_tags(entities, int(row.sum()))
        ]
        scores = (self.dropout(units.vectors) @ self.emission + self.bias)[units.mask]
        return {"tags": functional.cross_entropy(scores, torch.tensor(wanted).to(scores.device))}

    def decode(self, units: Units, text: Text) -> list[list[ScoredEntity]]:
        chances = (units.vectors @ self.emission + self.bias).softmax(-1)
        best, tags = chances.max(-1)
        found = []
        for row, chance, mask in zip(tags.tolist(), best.tolist(), units.mask, strict=True):
            read = read_tags([self.tags[tag] for tag in row[: int(mask.sum())]])
            found.append([ScoredEntity(*entity, chance[entity.start]) for entity in read])
        return found


SPEC = SystemSpec(
    name="trajectory",
    backbone="none",
    text=PartSpec("text_encoder", "words", Words, {}),
    joint=None,
    views={"corners": PartSpec("image_encoder", "corners", Corners, {})},
    aligner=(PartSpec("aligner", "near", Near, {}),),
    fuser=PartSpec("fuser", "gate", Gate, {}),
    decoder=PartSpec("decoder", "tagger", Tagger, {}),
    objective=None,
    loss_weights={"near": 0.5},
)
RECIPE = Recipe(
    epochs=8,
    batch_size=2,
    accumulate=2,
    learning_rates={"*.embedding.*": 0.3, "*": 0.1},
    weight_decay=0.1,
    warmup=0.2,
    clip=0.5,
    precision="fp32",
)

# The trajectory -----------------------------------------------------------------------------------


def trajectory(folder: Path, initial: Mapping[str, Any]) -> dict[str, Any]:
    """Train from the given weights, or from ones that are drawn where ``initial`` is a seed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _trajectory(folder, initial)
    finally:
        torch.set_num_threads(threads)


def _trajectory(folder: Path, initial: Mapping[str, Any]) -> dict[str, Any]:
    write_data(folder)
    data = read_data(PartSpec("reader", "bio", Bio, {"path": ".", "images": "images"}), folder)
    system = build(SPEC, data["train"], folder / "cache")
    own = named(system)
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(torch.tensor(initial[name], dtype=torch.float64))
    trainer = Trainer(system, RECIPE, seed=3)
    norms: list[float] = []
    clip = loop.fold_clipping

    def noted(made: torch.optim.Optimizer, limit: float | None) -> float:
        norms.append(clip(made, limit))
        return norms[-1]

    torch.manual_seed(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "fold_clipping", noted)
        patch.setattr(batches, "POOL", 2)
        fit = trainer.fit(data["train"], data["dev"])
    return {
        "norms": norms,
        "epochs": [{k: v for k, v in row.items() if k != "seconds"} for row in fit.history],
        "best_epoch": fit.best_epoch,
        "gold": {split: [s.entities for s in samples] for split, samples in data.items()},
        "dev": fit.dev_predictions,
        "test": trainer.predict(data["test"]),
        "weights": {name: value.tolist() for name, value in own.items()},
    }


def named(system: nn.Module) -> dict[str, nn.Parameter]:
    """The weights by the last part of their names that tells one from another."""
    return {
        name.removesuffix(".weight").rpartition(".")[2]: value
        for name, value in system.named_parameters()
    }


def defaults() -> dict[str, Any]:
    """The defaults of a recipe: a setting at its default does not enter a run's id."""
    fields = Recipe.model_fields.items()
    return {name: field.default for name, field in fields if not field.is_required()}


def lines(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every number and word of a trajectory with its place."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from lines(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        yield f"{place} length", len(value)
        for i, inner in enumerate(value):
            yield from lines(inner, f"{place}[{i}]")
    else:
        yield place, value


def differences(found: Any, stored: Any) -> list[str]:
    """Where two trajectories differ by more than ``TOLERANCE``."""
    one, two = dict(lines(found)), dict(lines(stored))
    return [
        f"{place}: {one.get(place)!r}, stored {two.get(place)!r}"
        for place in dict.fromkeys((*two, *one))
        if not _equal(one.get(place), two.get(place))
    ]


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, float | int) and isinstance(two, float | int):
        return abs(one - two) <= TOLERANCE * max(1.0, abs(two))
    return bool(one == two)


def unmet(found: Mapping[str, Any]) -> list[str]:
    """What a trajectory must show to guard the harness, and this one doesn't."""
    rows = found["epochs"]
    by_precision = max(rows, key=lambda row: row["dev_precision"])["epoch"]
    best = found["best_epoch"]
    shown = {
        "clipping binds": sum(norm > RECIPE.clip for norm in found["norms"]) > 3,
        "and not always": any(norm < RECIPE.clip for norm in found["norms"]),
        "the best epoch is neither the first nor the last": 1 < best < len(rows),
        "nor the one with the best precision": best != by_precision,
        "a later epoch is as good": any(
            row["dev_f1"] == rows[best - 1]["dev_f1"] for row in rows[best:]
        ),
        "entities are found": any(found["test"]) and sum(map(len, found["dev"])) > 3,
        "and missed": rows[best - 1]["dev_f1"] < 100,
    }
    return [name for name, holds in shown.items() if not holds]


def regenerate(seed: int | None) -> None:
    """Store the trajectory of the code as it is, from the stored weights or from drawn ones."""
    if seed is None:
        initial = json.loads(GOLDEN.read_text(encoding="utf-8"))["initial"]
    else:
        with tempfile.TemporaryDirectory() as folder:
            write_data(Path(folder))
            part = PartSpec("reader", "bio", Bio, {"path": "."})
            system = build(SPEC, read_data(part, Path(folder))["train"], Path(folder))
        rng = random.Random(seed)
        initial = {name: _drawn(value.shape, rng) for name, value in named(system).items()}
    with tempfile.TemporaryDirectory() as folder:
        found = trajectory(Path(folder) / "data", initial)
    if problems := unmet(found):
        sys.exit(f"this trajectory does not show that {', '.join(problems)}; give another SEED")
    whole = {"harness": HARNESS, "defaults": defaults(), "initial": initial, **found}
    text = "".join(
        f"{',' if i else '{'}\n{json.dumps(key)}: {json.dumps(value)}"
        for i, (key, value) in enumerate(whole.items())
    )
    GOLDEN.write_text(text + "\n}\n", encoding="utf-8")
    print(f"{GOLDEN}: stored under HARNESS {HARNESS}")


def _drawn(shape: Sequence[int], rng: random.Random) -> Any:
    if not shape:
        return rng.gauss(0, 0.7)
    return [_drawn(shape[1:], rng) for _ in range(shape[0])]


@pytest.fixture
def stored() -> dict[str, Any]:
    golden: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return golden


def compare(folder: Path, stored: Mapping[str, Any]) -> list[str]:
    given = {key: stored[key] for key in stored if key not in ("harness", "defaults", "initial")}
    return differences(trajectory(folder, stored["initial"]), given)


def test_the_trajectory_is_the_stored_one(tmp_path: Path, stored: dict[str, Any]) -> None:
    found = compare(tmp_path / "data", stored)
    assert not found, "\n".join([ADVICE, *found[:10]])
    assert stored["harness"] == HARNESS, f"HARNESS was raised: {ADVICE.partition(' and ')[2]}"


def test_defaults_are_the_stored_ones(stored: dict[str, Any]) -> None:
    assert defaults() == stored["defaults"], ADVICE


def test_it_shows_what_it_must(stored: dict[str, Any]) -> None:
    assert unmet(stored) == []
    for text in (TRAIN, DEV, TEST):
        assert "/O Po/I-" in text or "/O Rome/I-" in text or "/O Oslo/I-" in text


# It fails under mutation --------------------------------------------------------------------------

Patch = pytest.MonkeyPatch


def gradient_sign(patch: Patch) -> None:
    honest = loop.Accelerator.backward
    patch.setattr(loop.Accelerator, "backward", lambda self, loss: honest(self, -loss))


def no_clipping(patch: Patch) -> None:
    honest = loop.fold_clipping
    patch.setattr(loop, "fold_clipping", lambda optimizer, limit: honest(optimizer, None))


def no_warm_up(patch: Patch) -> None:
    honest = loop.make_schedule
    changed = RECIPE.model_copy(update={"warmup": 0.0})
    patch.setattr(loop, "make_schedule", lambda opt, recipe, steps: honest(opt, changed, steps))


def constant_schedule(patch: Patch) -> None:
    honest = loop.make_schedule
    changed = RECIPE.model_copy(update={"schedule": "constant"})
    patch.setattr(loop, "make_schedule", lambda opt, recipe, steps: honest(opt, changed, steps))


def schedule_a_step_late(patch: Patch) -> None:
    honest = loop.make_schedule
    patch.setattr(loop, "make_schedule", lambda opt, recipe, n: honest(opt, recipe, n + 1))


def batches_in_file_order(patch: Patch) -> None:
    def in_order(samples: list[Sample], size: int, *_: object) -> list[list[Sample]]:
        return [samples[i : i + size] for i in range(0, len(samples), size)]

    patch.setattr(loop, "shuffled", in_order)


def other_batch_order(patch: Patch) -> None:
    honest = loop.shuffled
    patch.setattr(loop, "shuffled", lambda *given: honest(*given)[::-1])


def batches_by_words(patch: Patch) -> None:
    patch.setattr("zoo.system.Collator.cost", lambda self, sample: len(sample.words))


def one_pool(patch: Patch) -> None:
    patch.setattr(batches, "round", lambda pools: 1, raising=False)


def all_rows_trained(patch: Patch) -> None:
    patch.setattr("zoo.system.Collator.lookups", lambda self, samples: {})


def other_dropout(patch: Patch) -> None:
    patch.setattr(loop, "lean_dropout", nullcontext)


def strict_tags(patch: Patch) -> None:
    def strict(tags: Sequence[str], *_: object) -> list[Entity]:
        return read_tags(tags, "strict")

    patch.setattr("zoo.data.bio.read_tags", strict)


def strict_decoding(patch: Patch) -> None:
    honest = read_tags
    patch.setitem(globals(), "read_tags", lambda tags: honest(tags, "strict"))


def last_epoch(patch: Patch) -> None:
    _select(patch, lambda scores, epoch: epoch)


def best_precision(patch: Patch) -> None:
    _select(patch, lambda scores, epoch: scores.precision)


def _select(patch: Patch, measure: Callable[[Scores, int], float]) -> None:
    """Let the epoch be picked by another measure, which the history then shows as `dev_f1`."""
    honest, epochs = loop.score, itertools.count(1)

    class Measured(Scores):
        measured = 0.0
        f1 = property(lambda self: self.measured)

    def score(*given: Any) -> Scores:
        scores = honest(*given)
        found = Measured(scores.gold, scores.predicted, scores.correct)
        object.__setattr__(found, "measured", measure(scores, next(epochs)))
        return found

    patch.setattr(loop, "score", score)


def best_epoch_not_restored(patch: Patch) -> None:
    patch.setattr("zoo.system.System.load_state_dict", lambda *_, **__: None)


def later_of_equal_epochs(patch: Patch) -> None:
    _select(patch, lambda scores, epoch: scores.f1 + epoch * 1e-6)


def decayed_vectors(patch: Patch) -> None:
    patch.setattr(
        optimizer.torch.optim, "AdamW", lambda groups, **options: _decayed(groups, options)
    )


def _decayed(groups: list[dict[str, Any]], options: dict[str, Any]) -> torch.optim.Optimizer:
    for group in groups:
        group["weight_decay"] = RECIPE.weight_decay
    return _ADAMW(groups, **options)


_ADAMW = torch.optim.AdamW


def adam(patch: Patch) -> None:
    patch.setattr(optimizer.torch.optim, "AdamW", torch.optim.Adam)


def loss_weights_ignored(patch: Patch) -> None:
    patch.setattr("zoo.system.System.weight", lambda self, name: 1.0)


def exif_ignored(patch: Patch) -> None:
    patch.setattr(Image.Image, "getexif", lambda self: {})


MUTATIONS = [
    gradient_sign,
    no_clipping,
    no_warm_up,
    constant_schedule,
    schedule_a_step_late,
    batches_in_file_order,
    other_batch_order,
    batches_by_words,
    one_pool,
    all_rows_trained,
    other_dropout,
    strict_tags,
    strict_decoding,
    last_epoch,
    best_precision,
    later_of_equal_epochs,
    best_epoch_not_restored,
    decayed_vectors,
    adam,
    loss_weights_ignored,
    exif_ignored,
]


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_it_fails_under(
    mutate: Callable[[Patch], None], tmp_path: Path, stored: dict[str, Any], monkeypatch: Patch
) -> None:
    mutate(monkeypatch)
    found = compare(tmp_path / "data", stored)
    assert [line for line in found if ".dev_f1:" not in line], "the F1 that is noted says nothing"


if __name__ == "__main__":
    regenerate(int(sys.argv[1]) if len(sys.argv) > 1 else None)
