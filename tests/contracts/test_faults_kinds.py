"""Parts of the other kinds with a fault each: the contract names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo import registry
from zoo.contracts.check import check, examine

pytestmark = pytest.mark.usefixtures("new_parts")


OTHERS = {
    "text encoder: padding": (
        "text_encoder",
        "bilstm",
        "def forward(self, inputs):\n"
        "        t = super().forward(inputs)\n"
        "        return type(t)(t.tokens, t.tokens.mean(1), t.mask)",
        "a sample's output changes with the other samples of the batch",
    ),
    "text encoder: rows are mixed in training": (
        "text_encoder",
        "bilstm",
        "def forward(self, inputs):\n"
        "        t = super().forward(inputs)\n"
        "        mixed = t.sentence + t.sentence.mean(0) if self.training else t.sentence\n"
        "        return type(t)(t.tokens, mixed, t.mask)",
        "in training, a sample's output changes with the other samples of the batch",
    ),
    "text encoder: the picture": (
        "text_encoder",
        "bilstm",
        "def prepare(self, sample):\n"
        "        from dataclasses import replace\n"
        "        return super().prepare(replace(sample, words=sample.words[::-1]) "
        "if sample.picture else sample)",
        "it reads `picture` of a sample, which it does not announce",
    ),
    "text encoder: words are dropped": (
        "text_encoder",
        "bilstm",
        "def prepare(self, sample):\n        return super().prepare(sample)[:128]",
        "a sentence of 300 words has 128 vectors: no word may be cut or dropped",
    ),
    "image encoder: not empty": (
        "image_encoder",
        "small_cnn",
        "def forward(self, inputs):\n"
        "        v = super().forward(inputs)\n"
        "        return type(v)(v.regions, v.pooled + 1, v.mask)",
        "regions and pooled are not zero where the mask is empty",
    ),
    "image encoder: a substitute": (
        "image_encoder",
        "small_cnn",
        "def prepare(self, sample):\n"
        "        import torch\n"
        "        row = super().prepare(sample)\n"
        "        return torch.zeros(3, self.size, self.size, dtype=torch.uint8) "
        "if row is None else row",
        "mask: a row is to be all False exactly where the sample has no picture",
    ),
    "image encoder: a broken picture": (
        "image_encoder",
        "small_cnn",
        "def prepare(self, sample):\n"
        "        try:\n            return super().prepare(sample)\n"
        "        except Exception:\n            return None",
        "a picture that can't be decoded is no error: `prepare` has to raise a DataError",
    ),
    "image encoder: no picture in the batch": (
        "image_encoder",
        "small_cnn",
        "def forward(self, inputs):\n        return self.none if not inputs['present'].any() "
        "else super().forward(inputs)",
        "raises AttributeError: 'Faulty' object has no attribute 'none'",
    ),
    "aligner: a batch of one": (
        "aligner",
        "contrastive",
        "def forward(self, text, views, gold):\n"
        "        a = super().forward(text, views, gold)\n"
        "        less = len(text.sentence) - 1\n"
        "        return type(a)(a.text, a.views, {k: v / less for k, v in a.losses.items()})",
        "a batch of one sentence with a picture gives NaN",
    ),
    "image encoder: chance": (
        "image_encoder",
        "small_cnn",
        "def prepare(self, sample):\n"
        "        import random\n"
        "        row = super().prepare(sample)\n"
        "        return row if row is None or random.random() < 0.5 else row.flip(2)",
        "`prepare` gives other inputs when called again",
    ),
    "aligner: gold": (
        "aligner",
        "contrastive",
        "def forward(self, text, views, gold):\n"
        "        a = super().forward(text, views, gold)\n"
        "        t = type(text)(text.tokens * (2 if gold else 1), text.sentence, text.mask)\n"
        "        return type(a)(t, a.views, a.losses)",
        "what flows on depends on the gold entities",
    ),
    "aligner: level": (
        "aligner",
        "contrastive",
        "def __init__(self, width, views):\n"
        "        super().__init__(width, views)\n        self.level = 'word'",
        "`level` is 'word', which is no level of an aligner",
    ),
    "aligner: a loss": ("aligner", "contrastive", "loss_names = ('other',)", "loss `contrastive."),
    "aligner: an empty mask": (
        "aligner",
        "contrastive",
        "def forward(self, text, views, gold):\n"
        "        a = super().forward(text, views, gold)\n"
        "        more = views['grid'].pooled.square().mean()\n"
        "        return type(a)(a.text, a.views, {k: v + more for k, v in a.losses.items()})",
        "loss `contrastive.grid` reads a view where its mask is empty",
    ),
    "aligner: views announced": (
        "aligner",
        "information_bottleneck",
        "def __init__(self, width, views):\n"
        "        super().__init__(width, views)\n        self.views = None",
        "announces 12, and patch.regions is 16 wide",
    ),
    "decoder: overlaps": (
        "decoder",
        "softmax",
        "def decode(self, units, text):\n"
        "        return [sorted(row + row) for row in super().decode(units, text)]",
        "`decode`: entities overlap",
    ),
    "decoder: order": (
        "decoder",
        "softmax",
        "def decode(self, units, text):\n"
        "        return [row[::-1] for row in super().decode(units, text)]",
        "`decode`: entities are not sorted",
    ),
    "decoder: padding": (
        "decoder",
        "softmax",
        "def loss(self, units, text, gold):\n"
        "        made = super().loss(units, text, gold)\n"
        "        return {'tags': made['tags'] + self.emission(units.vectors).square().mean()}",
        "loss `tags` reads units that are padding",
    ),
    "decoder: no entity": (
        "decoder",
        "softmax",
        "def decode(self, units, text):\n        return [[] for _ in units.mask]",
        "`decode` finds no entity",
    ),
    "decoder: unknown types": (
        "decoder",
        "softmax",
        "def loss(self, units, text, gold):\n"
        "        gold = [[e for e in row if e.type in self.tagging._types] for row in gold]\n"
        "        return super().loss(units, text, gold)",
        "a gold entity of an unknown type is no error",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds(contract, name: str) -> None:
    kind, base, body, line = OTHERS[name]
    report = contract(
        "from zoo.registry import register, resolve\n\n\n"
        f"@register({kind!r}, 'faulty')\n"
        f"class Faulty(resolve({kind!r}, {base!r})):\n"
        f'    """A {base} with a fault."""\n\n    {body}\n'
    )
    assert [fault for fault in report.faults if line in fault], report.faults


READERS = {
    "two splits": ("{'train': made, 'dev': made}", "`read` returns train, dev, not a dict of"),
    "equal ids": ("{s: made for s in ('train', 'dev', 'test')}", "an id occurs twice"),
    "nothing": ("{s: [] for s in ('train', 'dev', 'test')}", "`read`: train is no list of samples"),
}
READER = """
from zoo.registry import register
from zoo.types import Entity, Sample


@register("reader", "lines")
class Lines:
    "One sentence a line."

    example = {"path": "posts.txt"}
    example_files = {"posts.txt": "Ada writes"}

    def __init__(self, root, *, path: str):
        self.file = root / path

    def read(self):
        words = tuple(self.file.read_text().split())
        made = [Sample("1", words, (Entity(0, 1, "PER"),))]
        return RESULT
"""


@pytest.mark.parametrize("name", READERS)
def test_readers(contract, name: str) -> None:
    result, line = READERS[name]
    report = contract(READER.replace("RESULT", result))
    assert [fault for fault in report.faults if line in fault], report.faults


def test_a_reader_whose_files_are_missing(contract) -> None:
    made = (
        "{s: [made[0].__class__(s, *[words, made[0].entities])] for s in ('train', 'dev', 'test')}"
    )
    (fault,) = contract(READER.replace("RESULT", made)).faults
    assert fault == (
        "files that are not there: `read` raises FileNotFoundError, not a zoo.errors.DataError "
        "that names the file"
    )


def test_a_model_that_is_not_here() -> None:
    cls = registry.resolve("image_encoder", "vit")
    report = examine("image_encoder", cls, [{"model": "./no-such-folder"}])
    assert not report.passed
    assert report.faults == []
    assert report.checks == 0
    (line,) = report.skipped
    assert line.startswith("needs a model: model `./no-such-folder`: no such folder")
    with pytest.raises(Exception, match="no-such-folder"):
        check("image_encoder", cls, {"model": "./no-such-folder"})


JOINT = """
import torch
from zoo.encoders.small import SmallCNN
from zoo.encoders.bilstm import BiLSTM
from zoo.parts import JointEncoder, ViewSpec
from zoo.registry import register
from zoo.types import Text


@register("joint_encoder", "both")
class Both(JointEncoder):
    "The pooled picture is added to every word."

    sees = "picture"

    def __init__(self, words):
        super().__init__()
        self.words, self.picture = BiLSTM(words, state=8), SmallCNN(width=16)
        self.width = 16
        self.view_specs = {"grid": ViewSpec(16, self.picture.regions)}

    def prepare(self, sample):
        return self.words.prepare(sample), self.picture.prepare(sample)

    def collate(self, rows):
        words, pictures = zip(*rows)
        return {"words": self.words.collate(words), "picture": self.picture.collate(pictures)}

    def forward(self, inputs):
        text, view = self.words(inputs["words"]), self.picture(inputs["picture"])
        tokens = (text.tokens + view.pooled[:, None]) * text.mask[..., None]
        return Text(tokens, text.sentence, text.mask), {"grid": view}
"""


def test_a_joint_encoder(contract) -> None:
    report = contract(JOINT, "both")
    assert report.faults == []
    assert report.passed


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("ViewSpec(16,", "ViewSpec(8,"), "`view_specs` announces 8, and grid.regions is 16 wide"),
        (('{"grid": view}', '{"patch": view}'), "`view_specs` names ['grid'], and the views are"),
        (
            ("self.view_specs =", "self.specs ="),
            "`view_specs` names [], and the views are ['grid']",
        ),
        (("view.pooled[:, None])", "view.pooled.mean(0))"), "changes with the other samples"),
        (
            ("text.mask), {", "text.mask), 0 and {"),
            "forward returns a tuple, not (Text, {name: View",
        ),
    ],
)
def test_joint_encoders(contract, change: tuple[str, str], line: str) -> None:
    report = contract(JOINT.replace(*change), "both")
    assert [fault for fault in report.faults if line in fault], report.faults


OBJECTIVE = """
import torch
from zoo.parts import Objective
from zoo.registry import register


@register("objective", "{name}")
class Again(Objective):
    "Two passes alike."

    loss_names = ("again",)

    def __init__(self, width):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, system, batch, output):
        other = system(batch, train=False)
        one = system.decoder.log_marginals(output.units, output.text)
        two = system.decoder.log_marginals(other.units, other.text)
        return {{"again": self.scale * (one - two).square().mean()}}
"""


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("", "", ""),
        ('("again",)', '("agin",)', "loss `again` is not listed"),
        ("self.scale * ", "", "the parameter scale gets no gradient"),
        (".mean()}", "}", "not a tensor of shape ()"),
        ("one - two", "one - two + float('nan')", "loss `again` is nan"),
        ("other = system", "other = sistem", "raises NameError"),
    ],
)
def test_objectives(tmp_path: Path, old: str, new: str, line: str) -> None:
    name = f"objective_{abs(hash((old, new)))}"
    text = OBJECTIVE.format(name=name)
    assert old in text
    file = tmp_path / f"{name}.py"
    file.write_text(text.replace(old, new, 1) if old else text)
    registry.load_plugin_file(file)
    faults = check("objective", registry.resolve("objective", name), {})
    assert len(faults) == bool(line), faults
    assert all(line in fault for fault in faults)
