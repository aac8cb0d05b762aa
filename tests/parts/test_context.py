"""Context: text fields that an encoder reads behind the sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.encoders.caption import Caption
from zoo.encoders.pretrained import Pretrained
from zoo.encoders.transformer import Transformer
from zoo.errors import ConfigError
from zoo.parts import TextEncoder
from zoo.types import Sample, Text

LETTERS = "abcdefghijklmnopqrstuvwxyz"
POSITIONS = 16
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
SAMPLES = [
    Sample("both", ("ab", "c"), caption="d ef", extra={"tags": "g"}),
    Sample("neither", ("ab", "c", "d")),
    Sample("blank", ("c",), caption="  \n "),
    Sample("tags", ("c", "ab"), extra={"tags": "h i", "other": "z"}),
]
WORDS = Counter(w for s in SAMPLES for w in s.words for _ in range(2))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{c}" for c in LETTERS)]
    config = BertConfig(vocab_size=len(pieces), max_position_embeddings=POSITIONS, **SMALL)
    BertModel(config).save_pretrained(folder)
    BertTokenizer(vocab={p: i for i, p in enumerate(pieces)}).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> str:
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizerFast

    folder = tmp_path_factory.mktemp("roberta")
    torch.manual_seed(0)
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ", *LETTERS]
    RobertaTokenizerFast(vocab={p: i for i, p in enumerate(pieces)}, merges=[]).save_pretrained(
        folder
    )
    config = RobertaConfig(
        vocab_size=len(pieces), max_position_embeddings=2 + POSITIONS, type_vocab_size=1, **SMALL
    )
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    return str(folder)


Make = Callable[..., TextEncoder]


@pytest.fixture(params=["bert", "roberta", "scratch", "neighbours"])
def make(request: pytest.FixtureRequest) -> Make:
    """Builds one and the same encoder, with and without context."""

    def build(**settings: object) -> TextEncoder:
        torch.manual_seed(1)
        if request.param in ("scratch", "neighbours"):
            beside = {"neighbours": 2} if request.param == "neighbours" else {}
            small = {"layers": 2, "width": 16, "heads": 2, **beside}
            chosen: dict[str, object] = {"scratch": small}
        else:
            chosen = {"model": request.getfixturevalue(request.param)}
        return Transformer(WORDS, **chosen, **settings).eval()  # type: ignore[arg-type]

    return build


def read(encoder: TextEncoder, samples: list[Sample]) -> Text:
    text: Text = encoder(encoder.collate([encoder.prepare(s) for s in samples]))
    return text


def close(first: torch.Tensor, second: torch.Tensor) -> bool:
    return first.shape == second.shape and torch.allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("sentence", ["first", "mean"])
def test_only_the_words_of_the_sentence_come_out(make: Make, sentence: str) -> None:
    encoder, plain = make(context="caption", sentence=sentence), make(sentence=sentence)
    text, bare = read(encoder, SAMPLES), read(plain, SAMPLES)
    assert text.mask.tolist() == bare.mask.tolist()
    assert text.tokens.shape == bare.tokens.shape
    assert not close(text.tokens[0], bare.tokens[0]), "the caption has an effect"
    assert not close(text.sentence[0], bare.sentence[0])
    for row in (1, 2, 3):  # no caption: no separator
        assert close(text.tokens[row], bare.tokens[row])
        assert close(text.sentence[row], bare.sentence[row])
    if text.pieces is not None:
        assert torch.equal(text.pieces, bare.pieces)
    assert not text.tokens[~text.mask].any()


@pytest.mark.parametrize("sentence", ["first", "mean"])
def test_alone_is_the_sentence_without_context(make: Make, sentence: str) -> None:
    encoder = make(context=["caption", "tags"], sentence=sentence)
    inputs = encoder.collate([encoder.prepare(s) for s in SAMPLES])
    alone: Text = encoder(encoder.alone(inputs))
    bare = read(encoder, [replace(s, caption=None, extra={}) for s in SAMPLES])
    for name in ("tokens", "sentence", "mask"):
        assert close(getattr(alone, name), getattr(bare, name)), name
    if alone.last is not None:
        assert close(alone.last, bare.last)
    assert not close(encoder(inputs).tokens, bare.tokens)


def test_alone_without_context_setting(make: Make) -> None:
    encoder = make()
    inputs = encoder.collate([encoder.prepare(s) for s in SAMPLES])
    assert encoder.alone(inputs) is inputs


def test_a_sample_does_not_see_its_neighbours_context(make: Make) -> None:
    encoder = make(context=["caption", "tags"])
    together = read(encoder, SAMPLES)
    for row, sample in enumerate(SAMPLES):
        alone = read(encoder, [sample])
        assert close(alone.tokens[0], together.tokens[row, : len(sample.words)])
        assert close(alone.sentence[0], together.sentence[row])


def test_fields_and_their_order_matter(make: Make) -> None:
    samples = [Sample("short", ("a",), caption="d", extra={"tags": "g"})]
    found = [
        read(make(context=context), samples).tokens
        for context in ("caption", "tags", ["caption", "tags"], ["tags", "caption"])
    ]
    for i, one in enumerate(found):
        assert not any(close(one, other) for other in found[:i])


def test_gradients(make: Make) -> None:
    encoder = make(context="caption").train()
    text = read(encoder, SAMPLES)
    (text.tokens.square().sum() + text.sentence.square().sum()).backward()
    assert all(p.grad is not None for p in encoder.parameters())


def test_what_it_sees() -> None:
    assert Transformer.sees_of({}) == ("words",)
    assert Transformer.sees_of({"context": None}) == ("words",)
    assert Transformer.sees_of({"context": "caption"}) == ("words", "caption")
    assert Transformer.sees_of({"context": ["tags", "caption"]}) == ("words", "tags", "caption")


@pytest.mark.parametrize("context", ["picture", "words", ["caption", "caption"]])
def test_no_text_field(make: Make, context: object) -> None:
    with pytest.raises(ConfigError, match="context"):
        make(context=context)


def test_a_caption_encoder_reads_no_context(make: Make) -> None:
    with pytest.raises(ConfigError, match="context"):
        Caption(encoder=make(context="caption"))


# Pieces ------------------------------------------------------------------------------------------


def test_separators_and_token_types(bert: str, roberta: str) -> None:
    """Context stands where the tokenizer puts a second sentence."""
    sample = Sample("x", ("a",), caption="b")
    encoder = Pretrained(bert, "first", context=("caption",))
    expected = encoder.tokenizer("a", "b")
    inputs = encoder.collate([encoder.prepare(sample)])
    assert inputs["input_ids"].tolist() == [expected["input_ids"]]
    kinds = (inputs["context"].long() * encoder._context_type).tolist()
    assert kinds == [expected["token_type_ids"]] == [[0, 0, 0, 1, 1]]
    calls: list[dict[str, torch.Tensor]] = []
    encoder.model.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append(kwargs), with_kwargs=True
    )
    encoder(inputs)
    assert calls[0]["token_type_ids"].tolist() == kinds

    encoder = Pretrained(roberta, "first", context=("caption",))
    inputs = encoder.collate([encoder.prepare(sample)])
    assert inputs["input_ids"].tolist() == [encoder.tokenizer(" a", " b")["input_ids"]]
    assert encoder._context_type == 0


def test_several_fields(bert: str) -> None:
    encoder = Pretrained(bert, "first", context=("caption", "tags"))
    (window,) = encoder.prepare(SAMPLES[0]).windows
    parts = "".join(encoder.tokenizer.convert_ids_to_tokens(window))
    assert parts == "[CLS]a##bc[SEP]de##f[SEP]g[SEP]"
    (window,) = encoder.prepare(SAMPLES[3]).windows  # no caption: no separator for it
    assert "".join(encoder.tokenizer.convert_ids_to_tokens(window)) == "[CLS]ca##b[SEP]hi[SEP]"


@pytest.fixture(scope="module")
def both(bert: str, roberta: str) -> tuple[Pretrained, Pretrained]:
    """RoBERTa and BERT."""
    first, second = (Pretrained(m, "first", context=("caption", "tags")) for m in (roberta, bert))
    return first, second


@settings(max_examples=60, deadline=None)
@given(
    words=st.integers(1, 40),
    caption=st.integers(0, 30),
    tags=st.integers(0, 30),
    kind=st.booleans(),
)
def test_the_context_is_cut_and_never_the_sentence(
    both: tuple[Pretrained, Pretrained], words: int, caption: int, tags: int, kind: bool
) -> None:
    encoder = both[kind]
    sample = Sample(
        "x",
        tuple(LETTERS[i % 26] for i in range(words)),
        caption=" ".join("y" * caption) or None,
        extra={"tags": " ".join("z" * tags)},
    )
    made = encoder.prepare(sample)
    bare = encoder.prepare(replace(sample, caption=None, extra={}))
    assert made.words == bare.words
    limit = POSITIONS
    assert all(len(window) <= limit for window in made.windows)
    own = len(bare.windows[0])
    assert [window[:own] for window in made.windows] == [window[:own] for window in bare.windows]
    if len(bare.windows) > 1 or not caption + tags:
        assert made == bare
        return
    assert made.windows[0][:own] == bare.windows[0]
    if made.own is not None:
        assert made.own == own
        assert len(made.windows[0]) > own + len(encoder._separator) - len(encoder.splitter.suffix)
    per_word = 1 if kind else 2  # a byte-level word has a space before it
    wanted = own + sum(len(encoder._separator) + per_word * n for n in (caption, tags) if n)
    if wanted <= limit:
        assert len(made.windows[0]) == wanted, "what fits is not cut"


def test_a_model_without_a_separator(bert: str) -> None:
    splitter = Pretrained(bert, "first").splitter
    splitter.tokenizer.backend_tokenizer.post_processor = None
    splitter.prefix, splitter.suffix = [], []
    with pytest.raises(ConfigError, match="between two sentences"):
        splitter.between("none")
