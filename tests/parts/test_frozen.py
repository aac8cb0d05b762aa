"""Frozen encoders: what is kept of a sample, and that it is the same however it came about."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.pictures import SAMPLES, picture
from zoo import identity
from zoo.build import make as make_part
from zoo.encoders.caption import Caption
from zoo.encoders.contextual import Contextual
from zoo.encoders.features import Features
from zoo.encoders.frozen import Frozen, FrozenText, moved
from zoo.encoders.keys import fingerprint, weights_digest
from zoo.encoders.pretrained import Pretrained
from zoo.encoders.small import SmallCNN, SmallViT
from zoo.encoders.transformer import Transformer
from zoo.errors import RunError
from zoo.schema import PartSpec
from zoo.types import Sample, View

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "pa", "##ris", "##s", "a", "man", "in"]
WORDS = ("a", "man", "in", "paris", "pas", "zebra")


def sentences(count: int, seed: int = 0) -> list[Sample]:
    rng = random.Random(seed)
    return [
        Sample(str(n), tuple(rng.choice(WORDS) for _ in range(rng.randint(1, 14))))
        for n in range(count)
    ]


def read(encoder: Any, samples: Sequence[Sample]) -> Any:
    return encoder(encoder.collate([encoder.prepare(sample) for sample in samples]))


def files(cache: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in cache.rglob("*.safetensors")}


def within_a_unit(found: Tensor, wanted: Tensor) -> bool:
    """Whether numbers differ by no more than the distance of neighbours in half precision."""
    half = wanted.half()
    unit = (torch.nextafter(half, torch.full_like(half, torch.inf)) - half).float()
    return bool(((found - half.float()).abs() <= unit).all())


@pytest.fixture
def small() -> SmallCNN:
    torch.manual_seed(0)
    return SmallCNN(size=32, width=8)


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT of 20 positions with a word-piece vocabulary."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=20,
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizer(vocab={p: i for i, p in enumerate(PIECES)}).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def text(bert: str) -> Transformer:
    return Transformer(Counter(WORDS), model=bert)


# What is returned ---------------------------------------------------------------------------------


def test_a_frozen_image_encoder_gives_what_its_encoder_gives(
    small: SmallCNN, tmp_path: Path
) -> None:
    plain = read(small.eval(), SAMPLES)
    frozen = Frozen(small, tmp_path)
    assert (frozen.sees, frozen.width, frozen.regions) == ("picture", 8, small.regions)
    view = read(frozen.train(), SAMPLES)
    assert not small.training
    assert not any(m.training for m in small.modules())
    assert [p for p in frozen.parameters() if p.requires_grad] == []
    assert within_a_unit(view.regions, plain.regions)
    assert within_a_unit(view.pooled, plain.pooled)
    assert torch.equal(view.mask, plain.mask)
    assert not view.regions.requires_grad
    assert read(frozen, [SAMPLES[1]]).regions.shape == (1, small.regions, 8)


def test_a_frozen_text_encoder_gives_what_its_encoder_gives(
    text: Transformer, tmp_path: Path
) -> None:
    some = sentences(40)  # some of them in several windows
    wanted = read(text.eval(), some)
    frozen = FrozenText(text, tmp_path).train()
    assert not any(module.training for module in text.modules())
    assert [p for p in frozen.parameters() if p.requires_grad] == []
    for _ in range(2):
        found = read(frozen, some)
        assert within_a_unit(found.tokens, wanted.tokens)
        assert within_a_unit(found.last, wanted.last)
        assert within_a_unit(found.sentence, wanted.sentence)
        assert torch.equal(found.mask, wanted.mask)
        assert torch.equal(found.pieces, wanted.pieces)
    assert not torch.equal(found.tokens, found.last)


def test_frozen_captions(tmp_path: Path) -> None:
    words = Counter({"a": 2, "man": 2, "in": 2, "paris": 2})
    torch.manual_seed(0)
    caption = Caption(encoder=Transformer(words, scratch={"layers": 1, "width": 8, "heads": 2}))
    plain = read(caption.eval(), SAMPLES)
    frozen = Frozen(caption, tmp_path)
    assert frozen.sees == "caption"
    view = read(frozen, SAMPLES)
    assert view.mask.sum(1).tolist() == [4, 0, 1]
    assert within_a_unit(view.regions, plain.regions)
    assert read(frozen, [SAMPLES[1]]).mask.any().item() is False


def test_a_frozen_encoder_inside_another_is_kept(
    text: Transformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(Caption(encoder=FrozenText(text, tmp_path)), SAMPLES)
    assert len(files(tmp_path)) == 1
    monkeypatch.setattr(Transformer, "forward", never)
    again = read(Caption(encoder=FrozenText(text, tmp_path)), SAMPLES)
    assert torch.equal(first.regions, again.regions)
    whole = Frozen(Caption(encoder=FrozenText(text, tmp_path)), tmp_path)
    assert torch.equal(read(whole, SAMPLES).regions, first.regions)


def test_a_frozen_sentence_can_be_read_without_its_context(bert: str, tmp_path: Path) -> None:
    text = Transformer(Counter(WORDS), model=bert, context="caption").eval()
    frozen = FrozenText(text, tmp_path)
    assert frozen.context_fields == ("caption",)
    inputs = frozen.collate([frozen.prepare(sample) for sample in SAMPLES])
    bare = [replace(sample, caption=None) for sample in SAMPLES]
    with_context, without = frozen(inputs), frozen(frozen.alone(inputs))
    assert within_a_unit(without.tokens, read(text, bare).tokens)
    assert within_a_unit(with_context.tokens, read(text, SAMPLES).tokens)
    assert not torch.equal(with_context.tokens, without.tokens)


def test_numbers_too_large_for_half_precision_are_kept_whole(
    small: SmallCNN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, factor = SmallCNN.forward, 1e6

    def larger(self: SmallCNN, inputs: Any) -> View:
        view = honest(self, inputs)
        return View(view.regions * factor, view.pooled, view.mask)

    plain = read(small.eval(), SAMPLES)
    monkeypatch.setattr(SmallCNN, "forward", larger)
    view = read(Frozen(small, tmp_path / "a"), SAMPLES)
    torch.testing.assert_close(view.regions, plain.regions * factor, atol=0, rtol=1e-5)
    factor = float("nan")
    with pytest.raises(RunError, match="no number"):
        read(Frozen(small, tmp_path / "b"), SAMPLES)


# In any company, the same bytes -------------------------------------------------------------------


def rows(frozen: Any, samples: Sequence[Sample]) -> dict[str, dict[str, Tensor]]:
    """Each sample's features as they are kept."""
    asked = [frozen.prepare(sample) for sample in samples]
    return {
        sample.id: dict(row) for sample, row in zip(samples, frozen.kept.read(asked), strict=True)
    }


def same(first: dict[str, dict[str, Tensor]], second: dict[str, dict[str, Tensor]]) -> bool:
    return first.keys() == second.keys() and all(
        row.keys() == second[id].keys() and all(torch.equal(row[k], second[id][k]) for k in row)
        for id, row in first.items()
    )


@pytest.mark.parametrize("kind", ["text", "picture"])
def test_features_do_not_depend_on_what_is_computed_with_them(
    kind: str, text: Transformer, small: SmallCNN, tmp_path: Path
) -> None:
    def make(folder: str) -> Any:
        cache = tmp_path / folder
        return FrozenText(text, cache) if kind == "text" else Frozen(small, cache)

    if kind == "text":
        some = sentences(60)
    else:
        some = [Sample(str(n), ("x",), picture=picture(n, (20, 20))) for n in range(21)]
    together = rows(make("together"), some)
    assert same(rows(make("backwards"), some[::-1]), together)
    alone = make("alone")
    assert same({s.id: rows(alone, [s])[s.id] for s in some}, together)
    halves = make("halves")
    rows(halves, some[::2])
    assert same(rows(make("halves"), some), together), "from memory and from the disk"


def test_batches_are_computed_within_a_unit_of_one_at_a_time(
    text: Transformer, tmp_path: Path
) -> None:
    some = sentences(100)
    found = rows(FrozenText(text, tmp_path), some)
    text.eval()
    for sample in some:
        alone = read(text, [sample])
        assert within_a_unit(found[sample.id]["tokens"].float(), alone.tokens[0])
        assert within_a_unit(found[sample.id]["sentence"].float(), alone.sentence[0])


def test_sentences_are_computed_in_batches(
    text: Transformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, batches = Pretrained.forward, []

    def note(self: Pretrained, inputs: Any) -> Any:
        batches.append(inputs["input_ids"].shape)
        return honest(self, inputs)

    monkeypatch.setattr(Pretrained, "forward", note)
    some = [Sample(str(n), ("a", WORDS[n % 6], WORDS[n // 6 % 6])) for n in range(36)]
    read(FrozenText(text, tmp_path), some)
    assert all(size in (1, 2, 4, 8, 16) for size, _ in batches)
    assert len(batches) < 10


def test_features_do_not_depend_on_the_precision_of_the_run(
    small: SmallCNN, tmp_path: Path
) -> None:
    full = read(Frozen(small, tmp_path / "full"), SAMPLES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = read(Frozen(small, tmp_path / "half"), SAMPLES)
    assert torch.equal(full.regions, half.regions)
    assert torch.equal(full.pooled, half.pooled)


# On the disk --------------------------------------------------------------------------------------


def never(*_: object) -> None:
    raise AssertionError("computed again")


def test_features_are_computed_once_and_stored_together(
    small: SmallCNN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(Frozen(small, tmp_path), SAMPLES)
    stored = files(tmp_path)
    assert len(stored) == 1
    monkeypatch.setattr(SmallCNN, "forward", never)
    again = read(Frozen(small, tmp_path), SAMPLES)
    assert torch.equal(first.regions, again.regions)
    assert files(tmp_path) == stored


def test_features_of_a_stream_are_not_written(
    text: Transformer, tmp_path: Path, monkeypatch: Any
) -> None:
    """They are the same numbers, and take no more memory than is allowed."""
    samples = sentences(40)
    kept = read(FrozenText(text, tmp_path / "kept"), samples)
    passing = FrozenText(text, tmp_path / "passing")
    passing.kept.passing = True
    monkeypatch.setattr("zoo.encoders.features.PASSING", 8000)
    for each in range(0, 40, 4):
        found = read(passing, samples[each : each + 4])
        length = found.tokens.shape[1]
        assert torch.equal(found.tokens, kept.tokens[each : each + 4, :length])
    assert not files(tmp_path / "passing")
    assert not passing.kept._asked
    rows = passing.kept.features._rows.values()  # type: ignore[union-attr]
    assert sum(value.nbytes for row in rows for value in row.values()) <= 8000


def test_shards_are_bounded(text: Transformer, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("zoo.encoders.features.SHARD", 20_000)
    some = sentences(60)
    first = rows(FrozenText(text, tmp_path), some)
    sizes = [len(data) for data in files(tmp_path).values()]
    assert len(sizes) > 2
    assert max(sizes) < 30_000
    monkeypatch.setattr(Transformer, "forward", never)
    assert same(rows(FrozenText(text, tmp_path), some), first)


@pytest.mark.parametrize("damage", ["cut", "empty", "row", "index", "name"])
def test_a_damaged_shard_is_made_anew(
    small: SmallCNN, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = read(Frozen(small, tmp_path), SAMPLES)
    first = View(first.regions.clone(), first.pooled.clone(), first.mask)
    stored = files(tmp_path)
    (file,) = tmp_path.rglob("*.safetensors")
    whole = bytearray(stored[file.name])
    file.rename(tmp_path / "copy")
    if damage == "cut":
        whole = whole[:-8]
    elif damage == "empty":
        whole = bytearray()
    elif damage == "row":
        rows = load_file(tmp_path / "copy")["rows"].numpy().tobytes()
        whole[bytes(whole).index(rows) + len(rows) - 1] ^= 1
    elif damage == "index":
        at = bytes(whole).index(bytes.fromhex(SAMPLES[0].picture.digest()))  # type: ignore[union-attr]
        whole[at] ^= 1
    else:
        file = file.with_name("0" * 64 + ".safetensors")
    file.write_bytes(whole)
    again = read(Frozen(small, tmp_path), SAMPLES)
    assert torch.equal(first.regions, again.regions)
    assert torch.equal(first.pooled, again.pooled)
    assert "damaged" in caplog.text
    if damage != "row":  # else only the rows that were needed are made anew
        assert files(tmp_path) == stored
    assert file.name not in files(tmp_path) or files(tmp_path)[file.name] != whole


def test_rows_that_two_processes_wrote_do_no_harm(text: Transformer, tmp_path: Path) -> None:
    some = sentences(30)
    folder = FrozenText(text, tmp_path).kept.features.folder
    one, other = Features(folder), Features(folder)
    wanted = rows(FrozenText(text, tmp_path / "elsewhere"), some)
    for features, ids in ((one, range(20)), (other, range(10, 30))):
        for n in ids:
            key = FrozenText(text, tmp_path / "unused").prepare(some[n]).key
            features.put(key, wanted[str(n)])
        features.flush()
    assert len(files(folder)) == 2
    assert same(rows(FrozenText(text, tmp_path), some), wanted)
    assert len(files(folder)) == 2, "nothing was missing"


@pytest.mark.slow
def test_processes_at_the_same_time(tmp_path: Path) -> None:
    """Each reads what it needs, computed once, and all read the same."""
    code = """
import sys, torch
from collections import Counter
from pathlib import Path
from zoo.encoders.frozen import FrozenText
from zoo.encoders.transformer import Transformer
from zoo.types import Sample
torch.manual_seed(0)
text = Transformer(Counter("abc"), scratch={"layers": 1, "width": 8, "heads": 2})
frozen = FrozenText(text, Path(sys.argv[1]))
some = [Sample(str(n), tuple(f"{n:b}")) for n in range(60)]
frozen.collate([frozen.prepare(sample) for sample in some])
print(frozen.kept.digest())
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outputs[0] == outputs[1] != ""
    assert len(files(tmp_path)) == 1
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_cache_that_cannot_be_written(small: SmallCNN, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(RunError, match="can't be written"):
        read(Frozen(small, tmp_path / "cache"), SAMPLES)


def test_inputs_within_inputs_are_moved() -> None:
    inputs = {"words": {"ids": torch.zeros(2)}, "names": ["a"], "sizes": [torch.zeros(1)]}
    found = moved(inputs, torch.device("meta"))
    assert (found["words"]["ids"].device.type, found["sizes"][0].device.type) == ("meta", "meta")
    assert found["names"] == ["a"]


# Keys and digests ---------------------------------------------------------------------------------


def test_the_key_holds_weights_settings_and_picture(small: SmallCNN, tmp_path: Path) -> None:
    frozen = Frozen(small, tmp_path)
    first = read(frozen, SAMPLES).regions
    before = fingerprint(small)
    small.size = 33
    assert fingerprint(small) != before
    small.size = 32
    assert fingerprint(small) == before
    state = {k: v * 2 if v.is_floating_point() else v for k, v in frozen.state_dict().items()}
    nn.ModuleDict({"a": frozen}).load_state_dict({f"a.{k}": v for k, v in state.items()})
    assert fingerprint(small) != before
    assert not torch.equal(read(frozen, SAMPLES).regions, first)
    assert len(files(tmp_path)) == 2


class Scaled(SmallCNN):
    """Keeps its settings where neither its attributes nor its weights show them."""

    def __init__(self, *, scales: list[int], mode: str = "max") -> None:
        super().__init__(size=32, width=8)
        self.scales = scales
        self.inner = nn.Identity()
        self.inner.mode = mode
        self.inner.register_buffer("factor", torch.tensor(float(scales[0])), persistent=False)


@pytest.mark.parametrize(
    "changed", [{"scales": [4, 8]}, {"scales": [1, 4]}, {"scales": [1, 2], "mode": "mean"}]
)
def test_the_key_holds_what_was_asked_for(changed: dict[str, Any], tmp_path: Path) -> None:
    def key(**settings: Any) -> Path:
        torch.manual_seed(0)
        part = PartSpec("image_encoder", "scaled", Scaled, settings, frozen=True)
        return make_part(part, {}, tmp_path).kept.features.folder

    assert key(scales=[1, 2]) == key(scales=[1, 2], mode="max")
    assert key(scales=[1, 2]) != key(**changed)


def test_the_digest_of_weights_holds_every_buffer() -> None:
    one, other = Scaled(scales=[1]).inner, Scaled(scales=[2]).inner
    assert weights_digest(one) != weights_digest(other)


@pytest.mark.parametrize(
    ("make", "changed"),
    [
        (SmallCNN, {"width": 32}),
        (SmallCNN, {"layers": 2}),
        (SmallViT, {"heads": 2}),
        (SmallViT, {"layers": 1}),
        (SmallViT, {"patch": 12}),
        (partial(Transformer, Counter()), {"scratch": {"heads": 2}}),
        (partial(Transformer, Counter()), {"scratch": {"layers": 1}}),
        (partial(Transformer, Counter()), {"scratch": {}, "sentence": "mean"}),
    ],
)
def test_the_key_holds_every_setting(make: Any, changed: dict[str, Any]) -> None:
    """Also those that neither a shape nor a name shows, as the number of heads."""
    keys = set()
    plain = {"scratch": {}} if "scratch" in changed else {}
    for settings in (plain, changed):
        torch.manual_seed(0)
        keys.add(fingerprint(make(**settings)))
    assert len(keys) == 2


def test_the_key_holds_the_heads_of_a_part_inside() -> None:
    def made(heads: int) -> str:
        torch.manual_seed(0)
        inner = Transformer(Counter(), scratch={"width": 16, "heads": 2})
        return fingerprint(Contextual(encoder=inner, heads=heads))

    assert made(2) != made(4)
    assert made(2) == made(2)


def test_the_key_holds_the_structure_of_a_model(text: Transformer) -> None:
    before = fingerprint(text)
    text.body.model.config.num_attention_heads = 4  # type: ignore[union-attr]
    assert fingerprint(text) != before


@pytest.mark.parametrize(
    "name",
    ["zoo/types.py", *(f"encoders/{n}.py" for n in ("pictures", "small", "frozen", "features"))],
)
def test_the_key_holds_the_source(
    small: SmallCNN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    read_text = Path.read_text

    def changed(path: Path, encoding: str) -> str:
        text = read_text(path, encoding)
        return f"{text}\nCHANGED = True\n" if path.as_posix().endswith(name) else text

    def folder() -> Path:
        identity._texts.clear()
        return Frozen(small, tmp_path).kept.features.folder

    before = folder()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", changed)
        assert folder() != before
    assert folder() == before


def test_the_digest_of_a_feature_set(text: Transformer, tmp_path: Path) -> None:
    some = sentences(10)

    def digest(samples: Sequence[Sample], folder: str = "a") -> str:
        frozen = FrozenText(text, tmp_path / folder)
        for sample in samples:
            frozen.prepare(sample)
        return frozen.kept.digest()

    assert digest(some) == digest(some[::-1] + some) == digest(some, "b")
    assert digest(some[1:]) != digest(some)


def test_the_digest_is_that_of_the_present_weights(text: Transformer, tmp_path: Path) -> None:
    some, frozen = sentences(5), FrozenText(text, tmp_path)
    read(frozen, some)
    first = frozen.kept.digest()
    state = frozen.state_dict()
    frozen.load_state_dict(state)
    assert frozen.kept.digest() == first
    frozen.load_state_dict({k: v * 2 if v.is_floating_point() else v for k, v in state.items()})
    assert frozen.kept.digest() != first
