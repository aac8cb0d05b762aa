"""The ways into a pretrained encoder: extra keys, extra inputs, two models in lock-step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.encoders.layers import ATTENTION, Extra, Layers, append_inputs, in_step
from zoo.errors import ConfigError, RunError

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
HEADS = SMALL["num_attention_heads"]


def text_model(kind: str) -> Any:
    from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

    torch.manual_seed(0)
    if kind == "bert":
        return BertModel(BertConfig(vocab_size=40, max_position_embeddings=32, **SMALL)).eval()
    config = RobertaConfig(vocab_size=40, max_position_embeddings=34, type_vocab_size=1, **SMALL)
    return RobertaModel(config).eval()


def picture_model(kind: str) -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModel, ViTConfig, ViTModel

    torch.manual_seed(1)
    if kind == "clip":
        return CLIPVisionModel(CLIPVisionConfig(image_size=16, patch_size=8, **SMALL)).eval()
    return ViTModel(ViTConfig(image_size=16, patch_size=8, **SMALL)).eval()


IDS = torch.tensor([[5, 6, 7, 8, 9], [10, 11, 12, 1, 1], [13, 14, 15, 16, 1]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
PIXELS = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(2))
TEXT = ("bert", "roberta")
PICTURE = ("vit", "clip")


def inputs(kind: str) -> dict[str, Tensor]:
    if kind in TEXT:
        return {"input_ids": IDS, "attention_mask": MASK}
    return {"pixel_values": PIXELS}


def model(kind: str) -> Any:
    return text_model(kind) if kind in TEXT else picture_model(kind)


def last(output: Any) -> Tensor:
    states: Tensor = output.last_hidden_state
    return states


def extra(present: tuple[bool, ...] = (True, False, True), seed: int = 3) -> Extra:
    generator = torch.Generator().manual_seed(seed)
    keys, values = (torch.randn(3, 4, 16, generator=generator) for _ in range(2))
    return Extra.split(keys, values, torch.tensor(present)[:, None].expand(3, 4), HEADS)


def close(first: Tensor, second: Tensor) -> bool:
    return torch.allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("kind", [*TEXT, *PICTURE])
def test_nothing_extra_changes_nothing(kind: str) -> None:
    """Padding included: the mask must reach an attention of another name, too."""
    expected = last(model(kind)(**inputs(kind)))
    opened = model(kind)
    layers = Layers(opened)
    assert len(layers) == 3
    assert opened.config._attn_implementation == ATTENTION
    assert close(last(opened(**inputs(kind))), expected)
    with layers.extra({}):
        assert close(last(opened(**inputs(kind))), expected)


@pytest.mark.parametrize("kind", [*TEXT, *PICTURE])
def test_extra_keys(kind: str) -> None:
    """A row that has none is exactly as without; another sees them, at every layer given."""
    opened = model(kind).double()
    layers = Layers(opened)
    data = {k: v.double() if v.is_floating_point() else v for k, v in inputs(kind).items()}
    expected = last(opened(**data))
    seen = {}
    for number in range(3):
        with layers.extra({number: extra()}) as handed:
            states = last(opened(**data))
        assert torch.allclose(states[1], expected[1], atol=1e-12, rtol=0)
        assert not close(states[0], expected[0])
        seen[number] = states
        weights = handed[number].weights()
        assert weights.shape == (3, states.shape[1], 4)
        assert not weights[1].any()
        assert ((weights[0].sum(-1) > 0) & (weights[0].sum(-1) < 1)).all()
    assert not close(seen[0], seen[2])
    with layers.extra({0: extra((False,) * 3)}):
        assert torch.allclose(last(opened(**data)), expected, atol=1e-12, rtol=0)
    assert torch.equal(last(opened(**data)), expected), "the context is closed"


def test_extra_keys_against_attention_written_out() -> None:
    """One BERT layer, its keys [extra ; own], written down as in HVPNeT."""
    opened = text_model("bert")
    layers, prefix = Layers(opened), extra((True, True, True))
    states = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(5))
    layer: Any = layers[0]
    attention = layer.attention.self

    def heads(x: Tensor) -> Tensor:
        return x.view(3, 5, HEADS, 8).transpose(1, 2)

    keys = torch.cat([prefix.keys, heads(attention.key(states))], dim=2)
    values = torch.cat([prefix.values, heads(attention.value(states))], dim=2)
    scores = heads(attention.query(states)) @ keys.transpose(2, 3) / 8**0.5
    real = torch.cat([torch.ones(3, 4), MASK.float()], dim=1).bool()[:, None, None]
    weights = scores.masked_fill(~real, -torch.inf).softmax(-1)
    context = (weights @ values).transpose(1, 2).flatten(2)
    for mask in (MASK.bool()[:, None, None], (1.0 - MASK.float())[:, None, None] * -1e9):
        with layers.extra({0: prefix}) as seen:
            found, _ = attention(states, mask)
        assert close(found, context)
        assert close(seen[0].weights(), weights[..., :4].mean(1))
        assert close(seen[0].keys, heads(attention.key(states)))


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_gradients_reach_extra_keys(mode: bool) -> None:
    opened = text_model("bert").train(mode)
    layers = Layers(opened)
    keys, values, mask = extra()
    keys, values = keys.clone().requires_grad_(), values.clone().requires_grad_()
    with layers.extra({1: Extra(keys, values, mask)}):
        last(opened(**inputs("bert"))).square().sum().backward()
    for tensor in (keys, values):
        assert tensor.grad is not None
        assert tensor.grad[0].any()
        assert not tensor.grad[1].any(), "of a missing picture"


def test_extra_rows_follow_windows() -> None:
    rows = extra().rows(torch.tensor([0, 0, 2]))
    assert torch.equal(rows.keys[1], extra().keys[0])
    assert rows.mask.any(dim=1).all()


def test_context_closes_after_an_error() -> None:
    opened = text_model("bert")
    layers = Layers(opened)
    expected = last(opened(**inputs("bert")))
    with pytest.raises(ZeroDivisionError), layers.extra({0: extra()}):
        raise ZeroDivisionError
    assert torch.equal(last(opened(**inputs("bert"))), expected)


def test_a_model_whose_attention_cannot_be_exchanged() -> None:
    from transformers import DebertaV2Config, DebertaV2Model

    with pytest.raises(ConfigError, match="deberta-v2"):
        Layers(DebertaV2Model(DebertaV2Config(vocab_size=40, **SMALL)))


def test_gradient_checkpointing_is_refused() -> None:
    opened = text_model("bert")
    layers = Layers(opened)
    opened.gradient_checkpointing_enable()
    with pytest.raises(RunError, match="checkpointing"), layers.extra({0: extra()}):
        pass


# Lock-step ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXT)
@pytest.mark.parametrize("picture", PICTURE)
def test_lock_step_without_exchange(text: str, picture: str) -> None:
    """Both towers return exactly what each returns alone, pooler and last norm included."""
    kinds = (text, picture)
    expected = [model(kind)(**inputs(kind)) for kind in kinds]
    towers = [Layers(model(kind)) for kind in kinds]
    order = []

    def loop(*running) -> None:
        for number in range(3):
            for kind, tower in zip(kinds, running, strict=True):
                assert tower.done == number
                tower.step()
                order.append(kind)

    found = in_step(loop, *zip(towers, map(inputs, kinds), strict=True))
    assert order == [text, picture] * 3
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(last(one), last(other))
        assert torch.equal(one.pooler_output, other.pooler_output)
    for tower, kind, other in zip(towers, kinds, expected, strict=True):
        assert torch.equal(last(tower.model(**inputs(kind))), last(other)), "the layers are back"


def test_lock_step_with_exchange() -> None:
    """The picture's layers attend to the text's keys; gradients reach the text through them."""
    text, picture = Layers(text_model("bert").train()), Layers(picture_model("clip").train())
    alone = last(picture.model(**inputs("clip")))

    def loop(words, pixels) -> None:
        seen = None
        for number in range(3):
            mask = torch.tensor([[True], [False], [True]]).expand(3, 5)
            pixels.step(Extra(seen.keys, seen.values, mask) if number == 2 else None)
            seen = words.step()

    _, seen = in_step(loop, (text, inputs("bert")), (picture, inputs("clip")))
    assert close(last(seen)[1], alone[1])
    assert not close(last(seen)[0], alone[0])
    last(seen).sum().backward()
    key: Any = text[1]
    assert key.attention.self.key.weight.grad.any()
    last_layer: Any = text[2]
    assert last_layer.attention.self.key.weight.grad is None, "the picture ended before it"


def test_lock_step_needs_every_layer() -> None:
    text = Layers(text_model("bert"))
    expected = last(text.model(**inputs("bert")))
    with pytest.raises(RunError, match="1 of its 3 layers"):
        in_step(lambda tower: tower.step(), (text, inputs("bert")))
    assert torch.equal(last(text.model(**inputs("bert"))), expected), "the layers are back"


def test_states_may_be_replaced() -> None:
    text = Layers(text_model("bert"))

    def loop(tower) -> None:
        for _ in range(3):
            tower.step()
        tower.states = tower.states * 2

    expected = last(text.model(**inputs("bert")))
    (found,) = in_step(loop, (text, inputs("bert")))
    assert torch.equal(last(found), 2 * expected)


# Extra inputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TEXT)
def test_extra_inputs(kind: str) -> None:
    """Rows without any are as without; padding does not move the others' positions."""
    opened = text_model(kind)
    expected = last(opened(**inputs(kind)))
    seen = torch.randn(3, 2, 16, generator=torch.Generator().manual_seed(4))
    mask = torch.tensor([[True, True], [False, False], [True, False]])
    states = last(opened(**append_inputs(opened, IDS, MASK, seen, mask)))
    assert states.shape == (3, 7, 16)
    assert close(states[1, :3], expected[1, :3])
    assert not close(states[0, :5], expected[0])
    alone = append_inputs(opened, IDS[2:, :4], MASK[2:, :4], seen[2:], mask[2:])
    assert close(last(opened(**alone))[0, :4], states[2, :4])
    changed = seen.clone()
    changed[2, 1] = 9.0  # masked
    again = last(opened(**append_inputs(opened, IDS, MASK, changed, mask)))
    assert close(again[2, :4], states[2, :4])


@pytest.mark.parametrize("kind", TEXT)
def test_extra_word_embeddings_are_words(kind: str) -> None:
    """A word's embedding as extra input is that word behind the others."""
    opened = text_model(kind)
    word = opened.get_input_embeddings()(torch.tensor([[20]]))
    there = torch.ones(1, 1, dtype=torch.bool)
    appended = append_inputs(opened, IDS[:1], MASK[:1], word, there)
    expected = opened(input_ids=torch.cat([IDS[:1], torch.tensor([[20]])], dim=1))
    assert close(last(opened(**appended)), last(expected))


def test_token_types() -> None:
    bert, there = text_model("bert"), torch.ones(3, 2, dtype=torch.bool)
    seen = torch.zeros(3, 2, 16)
    one, other = (append_inputs(bert, IDS, MASK, seen, there, token_type=t) for t in (0, 1))
    assert other["token_type_ids"][0].tolist() == [0] * 5 + [1] * 2
    assert not close(last(bert(**one)), last(bert(**other)))
    with pytest.raises(ConfigError, match="token type 1"):
        append_inputs(text_model("roberta"), IDS, MASK, seen, there, token_type=1)
