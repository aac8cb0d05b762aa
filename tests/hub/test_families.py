"""Twenty families of text encoders: words stay aligned, and what can't work is refused."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from zoo.decoders.softmax import Softmax
from zoo.encoders.cnn import CNN
from zoo.encoders.open_clip import OpenCLIP, describe
from zoo.encoders.pieces import BARE, Splitter
from zoo.encoders.pretrained import Pretrained
from zoo.encoders.transformer import Transformer
from zoo.encoders.vit import ViT
from zoo.errors import ConfigError
from zoo.parts import TextEncoder
from zoo.system import Collator, System
from zoo.training.rows import occurring_rows
from zoo.types import Sample, Text

Save = Callable[[str], Path]

WORKING = (
    "albert", "bert", "big_bird", "byt5", "camembert", "canine", "deberta", "deberta-v3",
    "distilbert", "electra", "ernie", "gpt2", "llama", "longformer", "luke", "mobilebert",
    "modernbert", "mpnet", "mt5", "roberta", "squeezebert", "t5", "xlm-roberta", "xlnet",
)  # fmt: skip
NO_SUMMARY = {
    "byt5": "no piece that stands for the sentence",
    "gpt2": "no piece that stands for the sentence",
    "llama": "is causal",
    "mt5": "no piece that stands for the sentence",
    "t5": "no piece that stands for the sentence",
}
"""Families whose first piece says nothing of the sentence: the sentence vector is the mean."""

NO_SPACE = ("llama", "modernbert")
"""Their tokenizers are of the generic class, which puts no space before words that come split."""

SMALLER = {*WORKING} - {"byt5", "canine", "mt5", "t5"}
"""Families of which only the pieces that occur are trained: not those that read characters, nor
those whose table is two modules' at once."""

REFUSED = {
    "bart": "no plain text encoder",
    "convbert": "depend on how long the others",  # its convolution sees the padding
    "fnet": "depend on how long the others",  # its Fourier transform sees the padding
    "funnel": "depend on how long the others",  # its pooling sees the padding
    "nystromformer": "can't be run as a text encoder",  # reads sentences of one length alone
}

SENTENCES = (
    Sample("1", ("Kevin", "Durant", "in", "New", "York")),
    Sample("2", ("bank",)),
    Sample("3", ("Obama", "said", "hello", "to", "Amazon", "in", "London")),
)
WORDS = Counter(word for sample in SENTENCES for word in sample.words)
LONG = Sample("4", ("Paris", "is", "in", "London") * 40)


def build(family: str, folder: Path) -> Transformer:
    sentence: Any = "mean" if family in NO_SUMMARY else "first"
    return Transformer(WORDS, model=str(folder), sentence=sentence).eval()


def read(encoder: TextEncoder, *samples: Sample) -> Text:
    text: Text = encoder(encoder.collate([encoder.prepare(sample) for sample in samples]))
    return text


def refused(make: Callable[[], Any], *parts: str) -> None:
    with pytest.raises(ConfigError) as raised:
        make()
    message = str(raised.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.slow
@pytest.mark.parametrize("family", WORKING)
def test_family(family: str, save: Save) -> None:
    folder = save(family)
    encoder = build(family, folder)
    body = encoder.body
    assert isinstance(body, Pretrained)
    tokenizer = body.tokenizer

    # alignment: the pieces of a sentence are those of running text, and each word has its own
    for sample in SENTENCES:
        (window,), places, *_ = encoder.prepare(sample)
        inner = window[len(body.splitter.prefix) : len(window) - len(body.splitter.suffix)]
        running = tokenizer("So " + " ".join(sample.words), add_special_tokens=False)["input_ids"]
        assert running[-len(inner) :] == inner
        whole = tokenizer("So " + " ".join(sample.words))["input_ids"]
        assert whole[: len(body.splitter.prefix)] == body.splitter.prefix
        assert whole[len(whole) - len(body.splitter.suffix) :] == body.splitter.suffix
        starts = [place for _, place, _ in places]
        assert starts == sorted(set(starts))
        for word, (_, place, size) in zip(sample.words, places, strict=True):
            own = tokenizer.convert_ids_to_tokens(window[place : place + size])
            assert own[0] not in BARE
            spelt = tokenizer.convert_tokens_to_string(own).replace(" ", "")
            assert spelt.lower() == word.lower()
        if tokenizer.is_fast and family not in NO_SPACE:
            split = tokenizer(list(sample.words), is_split_into_words=True)
            assert split["input_ids"] == window
            assert [split.word_ids()[place] for place in starts] == [*range(len(starts))]

    # alone against in a padded batch
    with torch.no_grad():
        together = read(encoder, *SENTENCES, LONG)
        for i, sample in enumerate(SENTENCES):
            alone, count = read(encoder, sample), len(sample.words)
            torch.testing.assert_close(
                alone.tokens[0], together.tokens[i, :count], atol=1e-5, rtol=0
            )
            torch.testing.assert_close(alone.sentence[0], together.sentence[i], atol=1e-5, rtol=0)

    # windows: every word of a sentence beyond the limit has its vector
    windows = encoder.prepare(LONG).windows
    assert all(len(window) == len(windows[0]) for window in windows)
    assert (len(windows) > 1) == (sum(len(p) for p, _ in body.splitter(LONG.words)) > body.limit)
    assert together.mask[-1].sum() == len(LONG.words)
    assert together.tokens.isfinite().all()
    assert together.tokens[-1].abs().sum(1).gt(0).all()

    # gradient: into the vectors of words from what stands first and last
    encoder.train()
    text = read(encoder, *SENTENCES)
    (text.tokens * torch.randn_like(text.tokens)).sum().backward()
    table: Any = [p.grad for p in encoder.parameters() if p.grad is not None and p.grad.any()]
    assert len(table) > len(list(encoder.parameters())) / 2

    # save and load
    other = build(family, folder)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    other.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        assert torch.equal(read(other, *SENTENCES).tokens, read(encoder.eval(), *SENTENCES).tokens)


@pytest.mark.slow
@pytest.mark.parametrize("family", WORKING)
def test_only_the_pieces_that_are_named_are_read(family: str, save: Save) -> None:
    """Training those rows alone gives the gradients of the whole table."""
    encoder = build(family, save(family)).train()
    system = System(encoder, {}, None, None, Softmax(encoder.width, ["A"]), {})
    occurring = Collator(system).lookups(SENTENCES)
    results = []
    for inside in (nullcontext(), occurring_rows(system, occurring)):
        with inside:
            torch.manual_seed(1)
            text = read(encoder, *SENTENCES)
            text.tokens.square().sum().backward()
            grads = {n: p.grad for n, p in encoder.named_parameters() if p.grad is not None}
            results.append({name: grad.clone() for name, grad in grads.items()})
            system.zero_grad()
    whole, rows = results
    assert whole.keys() == rows.keys()
    for name, grad in whole.items():
        if rows[name].shape != grad.shape:
            (found,) = occurring.values()
            others = [row for row in range(len(grad)) if row not in found]
            assert not grad[others].any()
            grad = grad[sorted(found)]
        torch.testing.assert_close(rows[name], grad)
    smaller = any(rows[name].shape != grad.shape for name, grad in whole.items())
    assert smaller == (family in SMALLER), family


@pytest.mark.slow
@pytest.mark.parametrize("family", REFUSED)
@pytest.mark.parametrize("sentence", ["first", "mean"])
def test_refused_family(family: str, sentence: Any, save: Save) -> None:
    folder = str(save(family))
    refused(lambda: Transformer(WORDS, model=folder, sentence=sentence), REFUSED[family])


@pytest.mark.slow
@pytest.mark.parametrize("family", NO_SUMMARY)
def test_families_without_a_summary(family: str, save: Save) -> None:
    folder = str(save(family))
    refused(lambda: Transformer(WORDS, model=folder), NO_SUMMARY[family], "`mean`")


def test_the_summary_of_xlnet_is_its_last_piece(save: Save) -> None:
    encoder = build("xlnet", save("xlnet"))
    body = encoder.body
    assert isinstance(body, Pretrained)
    inputs = body.collate([body.prepare(sample) for sample in SENTENCES])
    states, _ = body.states(inputs)
    ends = inputs["attention_mask"].sum(1) - 1
    assert inputs["input_ids"][0, ends[0]] == body.tokenizer.cls_token_id
    torch.testing.assert_close(body(inputs).sentence, states[torch.arange(3), ends])
    assert body.limit > 10**6, "-1 positions are no limit"


# What is wrong with the files --------------------------------------------------------------------


@pytest.fixture
def bert(save: Save, tmp_path: Path) -> Path:
    folder = tmp_path / "bert"
    shutil.copytree(save("bert"), folder)
    return folder


def change(folder: Path, name: str, **settings: Any) -> None:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**content, **settings}))


def weights(folder: Path, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    file = folder / "model.safetensors"
    save_file(edit(load_file(file)), file, {"format": "pt"})


def test_a_folder_without_tokenizer(bert: Path) -> None:
    (bert / "tokenizer.json").unlink()
    refused(lambda: Transformer(WORDS, model=str(bert)), "no tokenizer", "vocab.txt")
    (bert / "tokenizer_config.json").unlink()
    refused(lambda: Transformer(WORDS, model=str(bert)), "no tokenizer", "vocab.txt")


def test_half_of_a_byte_level_vocabulary(save: Save, tmp_path: Path) -> None:
    """Without its merges, transformers makes up some of its own."""
    folder = tmp_path / "roberta"
    shutil.copytree(save("roberta"), folder)
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    refused(lambda: Transformer(WORDS, model=str(folder)), "no tokenizer", "merges.txt")
    merges = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in model["merges"])])
    (folder / "merges.txt").write_text(merges)
    whole, apart = build("roberta", save("roberta")), build("roberta", folder)
    assert [whole.prepare(s) for s in SENTENCES] == [apart.prepare(s) for s in SENTENCES]


def test_a_tokenizer_that_splits_otherwise_than_its_file_says(bert: Path) -> None:
    """A cased model in whose folder nothing but that file says so: the library lower-cases."""
    (bert / "tokenizer_config.json").unlink()
    refused(lambda: Transformer(WORDS, model=str(bert)), "tokenizer.json", "tokenizer_config.json")


def test_a_normaliser_of_the_file_s_own_is_kept(bert: Path) -> None:
    """The library builds one by the class, which would take accents and Chinese apart."""
    file = bert / "tokenizer.json"
    content = json.loads(file.read_text())
    content["normalizer"] = {"type": "Replace", "pattern": {"String": "ﬁ"}, "content": "fi"}
    file.write_text(json.dumps(content))
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(file))
    made = Splitter("made", bert)
    for word in ("Mütter", "ﬁnal", "京都", "½"):
        ((ids, _),) = made([word])
        assert ids == own.encode(word, add_special_tokens=False).ids or made.unknown in ids


def test_a_vocabulary_that_is_no_json(bert: Path) -> None:
    (bert / "tokenizer.json").write_text('{"model": ')
    refused(lambda: Transformer(WORDS, model=str(bert)), "its tokenizer can't be loaded")


def test_a_tokenizer_larger_than_the_table(bert: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bert)
    rows = len(tokenizer)
    tokenizer.add_tokens(["one", "two"])
    tokenizer.save_pretrained(bert)
    refused(lambda: Transformer(WORDS, model=str(bert)), f"{rows + 2} tokens", f"{rows} rows")


def test_weights_of_another_model(save: Save, bert: Path) -> None:
    for other in ("roberta", "t5"):
        shutil.copy(save(other) / "model.safetensors", bert)
        refused(lambda: Transformer(WORDS, model=str(bert)), "another model")
    change(bert, "config.json", num_hidden_layers=3)
    shutil.copy(save("bert") / "model.safetensors", bert)
    refused(lambda: Transformer(WORDS, model=str(bert)), "layer.2", "lack weights")
    change(bert, "config.json", num_hidden_layers=1)
    refused(lambda: Transformer(WORDS, model=str(bert)), "layer.1", "no place")
    change(bert, "config.json", num_hidden_layers=2, intermediate_size=32)
    refused(lambda: Transformer(WORDS, model=str(bert)), "is 64 in the files", "32 by config.json")


def test_a_missing_pooler_matters_only_where_it_is_used(bert: Path) -> None:
    assert Transformer(WORDS, model=str(bert)).body.sentence == "first"
    refused(lambda: Transformer(WORDS, model=str(bert), sentence="pooler"), "no trained pooler")


def test_weights_of_another_model_for_pictures(save: Save, tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(save("clip"), folder)
    shutil.copy(save("bert") / "model.safetensors", folder)
    refused(lambda: ViT(model=str(folder)), "another model")
    shutil.copy(save("clip") / "model.safetensors", folder)
    weights(
        folder, lambda w: {k: t for k, t in w.items() if "vision_model.encoder.layers.1" not in k}
    )
    refused(lambda: ViT(model=str(folder)), "layers.1", "another model")


PREPARED = {
    "size": (0, -5, "a", [32, 32], {"height": "a"}, {"longest_edge": 32}, {"shortest_edge": 10**6},
             {"height": 32, "width": 64}),
    "crop_size": (0, {"height": 32, "width": 16}),
    "crop_pct": (0, 2, "x"),
    "image_mean": (0.5, [0.5], "x", [float("nan")] * 3),
    "image_std": ([0, 0, 0], [1, 1]),
    "resample": (99, "bilinear"),
    "do_center_crop": ("yes",),
    "do_resize": (False,),
    "do_rescale": (False,),
    "rescale_factor": (1.0,),
    "do_pad": (True,),
}  # fmt: skip


@pytest.mark.parametrize("key", PREPARED)
def test_pictures_that_cannot_be_prepared_so(key: str, save: Save, tmp_path: Path) -> None:
    folder = shutil.copytree(save("clip"), tmp_path / "clip")
    for value in PREPARED[key]:
        change(folder, "preprocessor_config.json", **{key: value})
        refused(lambda: ViT(model=str(folder)), "preprocessor_config.json", f"`{key}`")
    change(folder, "preprocessor_config.json", **{key: None})
    assert ViT(model=str(folder)).size == 32, "a null says nothing"


def test_pictures_whose_colours_are_not_normalised(save: Save, tmp_path: Path) -> None:
    folder = shutil.copytree(save("clip"), tmp_path / "clip")
    assert ViT(model=str(folder)).mean == (0.1, 0.2, 0.3)
    change(folder, "preprocessor_config.json", do_normalize=False)
    encoder = ViT(model=str(folder))
    assert (encoder.mean, encoder.std) == ((0, 0, 0), (1, 1, 1))


OPEN_CLIP = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 20, "width": 16, "heads": 2, "layers": 1},
}


class Harm:
    """A pickle that runs code when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def test_no_code_is_run(save: Save, bert: Path, tmp_path: Path) -> None:
    harm = tmp_path / "harm"
    (bert / "model.safetensors").unlink()
    (bert / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Harm(harm)}))
    refused(lambda: Transformer(WORDS, model=str(bert)), "can't be loaded")
    torch.save({"a": Harm(harm)}, bert / "pytorch_model.bin")
    refused(lambda: Transformer(WORDS, model=str(bert)), "can't be loaded")
    torch.save({"a": Harm(harm)}, tmp_path / "resnet.pth")
    refused(
        lambda: CNN(network="resnet18", weights=str(tmp_path / "resnet.pth")), "can't be loaded"
    )
    clip = tmp_path / "clip"
    clip.mkdir()
    (clip / "open_clip_config.json").write_text(json.dumps({"model_cfg": OPEN_CLIP}))
    torch.save({"a": Harm(harm)}, clip / "open_clip_pytorch_model.bin")
    refused(lambda: OpenCLIP(model=f"local-dir:{clip}"), "can't be loaded")
    code = {"AutoConfig": "run.Config", "AutoModel": "run.Model"}
    (bert / "run.py").write_text(f"open({str(harm)!r}, 'w')")
    change(bert, "config.json", model_type="unheard-of", auto_map=code)
    refused(lambda: Transformer(WORDS, model=str(bert)), "code of its own")
    assert not harm.exists()


def test_training_words_that_are_unknown(save: Save) -> None:
    folder = str(save("bert"))
    known = Counter({"Kevin": 3, "Приве́т": 1})
    assert Transformer(known, model=folder).unknown_share == pytest.approx(0.25)
    strange = Counter({"Kevin": 1, "Приве́т": 19})
    refused(lambda: Transformer(strange, model=folder), "95% of the training words")


# Sentencepiece -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "file"), [("deberta-v3", "spm.model"), ("camembert", "sentencepiece.bpe.model")]
)
def test_a_sentencepiece_file_alone(family: str, file: str, save: Save, tmp_path: Path) -> None:
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

    folder = tmp_path / family
    shutil.copytree(save(family), folder, ignore=lambda *_: ["tokenizer.json"])
    made = io.BytesIO()
    text = ["Kevin Durant in New York London said hello to Amazon Obama x"] * 5
    SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=made, vocab_size=32, minloglevel=2
    )
    (folder / file).write_bytes(made.getvalue())
    encoder = build(family, folder)
    body = encoder.body
    assert isinstance(body, Pretrained)
    (window,), *_ = encoder.prepare(SENTENCES[0])
    own = SentencePieceProcessor(model_proto=made.getvalue())
    pieces = body.tokenizer.convert_ids_to_tokens(window)
    assert pieces[1:-1] == own.encode(" ".join(SENTENCES[0].words), out_type=str)


# Pictures: QuickGELU and torchvision -------------------------------------------------------------


def test_quick_gelu_where_the_tag_was_trained_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import open_clip
    from open_clip.transformer import QuickGELU

    file = tmp_path / "weights.pt"
    torch.save(open_clip.CLIP(**OPEN_CLIP).state_dict(), file)
    monkeypatch.setattr("open_clip.factory.get_model_config", lambda _: deepcopy(OPEN_CLIP))
    monkeypatch.setattr("zoo.encoders.open_clip.get_weights", lambda *_: file)
    for tag, quick in (("openai", True), ("laion400m_e32", True), ("laion2b_s34b_b79k", False)):
        assert bool(describe("ViT-B-32", tag).get("quick_gelu")) is quick
        encoder = OpenCLIP(model="ViT-B-32", pretrained=tag)
        found = any(isinstance(module, QuickGELU) for module in encoder.modules())
        assert found is quick, tag


def test_torchvision_weights_are_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torchvision import models

    network = models.squeezenet1_1(weights=None)
    file = tmp_path / "own.pth"
    torch.save(network.state_dict(), file)
    encoder = CNN(network="squeezenet1_1", weights=str(file), size=64)
    name = "features.0.weight"
    assert torch.equal(encoder.trunk.state_dict()["features.0.weight"], network.state_dict()[name])
    assert set(CNN.loaded({"network": "squeezenet1_1", "weights": str(file)})) == {str(file)}
    refused(lambda: CNN(network="resnet18", weights=str(file)), "can't take the weights")
    refused(lambda: CNN(network="resnet18", weights="./none.pth"), "no such file")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = Path(models.SqueezeNet1_1_Weights.DEFAULT.url)
    cached = tmp_path / "hub" / "checkpoints" / url.name
    cached.parent.mkdir(parents=True)
    shutil.copy(file, cached)
    refused(lambda: CNN(network="squeezenet1_1"), url.name, "SHA-256")
    known = CNN.loaded({"network": "squeezenet1_1", "weights": "DEFAULT"})
    assert known == {"squeezenet1_1 DEFAULT": url.name}
    assert CNN.loaded({"network": "resnet18", "weights": None}) == {}


# Identity ----------------------------------------------------------------------------------------


def test_a_folder_is_known_by_the_bytes_of_its_files(bert: Path) -> None:
    def known() -> str:
        (digest,) = Transformer.loaded({"model": str(bert)}).values()
        return digest

    first = known()
    (bert / "README.md").write_text("not read")
    assert known() == first
    for name in ("tokenizer.json", "config.json", "model.safetensors"):
        (bert / name).write_bytes((bert / name).read_bytes() + b"\n")
        assert known() != first
        first = known()
    assert Transformer.loaded({"model": None, "scratch": {}}) == {}
    refused(lambda: Transformer.loaded({"model": str(bert.parent)}), "no config.json")
