"""A system: an assembly of parts. ``forward`` is these few lines and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from zoo.encoders.frozen import Frozen, FrozenText
from zoo.errors import ConfigError, RunError
from zoo.microbatches import cut, run
from zoo.parts import (
    Aligner,
    Decoder,
    Encoder,
    Fuser,
    ImageEncoder,
    JointEncoder,
    Objective,
    TextEncoder,
    aligner_losses,
)
from zoo.types import Batch, Output, Sample, ScoredEntity, Text, Units, Views

COLUMNS = ("epoch", "loss", "dev_precision", "dev_recall", "dev_f1", "seconds")
"""What no loss may be called: the columns of history.csv that hold something else."""


class System(nn.Module):
    """words + picture → encoder → aligner → fuser → decoder → entities.

    Args:
        text: the text encoder, or a joint encoder, which makes the views too.
        views: image encoders by the name of their view.
        aligner: one aligner, or several in the order in which they are applied.
        loss_weights: factors by loss name; a name also stands for those it begins
            (``contrastive`` for ``contrastive.grid``). 1 where none is given.
        objective: adds losses in training, after everything else.

    Raises:
        ConfigError: the fuser's level is neither ``token`` nor ``span``: it would never be called.
    """

    def __init__(
        self,
        text: TextEncoder | JointEncoder,
        views: Mapping[str, ImageEncoder],
        aligner: Aligner | Sequence[Aligner] | None,
        fuser: Fuser | None,
        decoder: Decoder,
        loss_weights: Mapping[str, float],
        objective: Objective | None = None,
    ) -> None:
        super().__init__()
        if fuser is not None and getattr(fuser, "level", None) not in ("token", "span"):
            raise ConfigError(
                f"{type(fuser).__name__}: `level` must be token or span, "
                f"not {getattr(fuser, 'level', None)!r}"
            )
        aligners = [aligner] if isinstance(aligner, Aligner) else list(aligner or ())
        self.text = text
        self.views = nn.ModuleDict(views)
        self.aligner = nn.ModuleList(aligners)
        self.fuser = fuser
        self.decoder = decoder
        self.objective = objective
        self.loss_weights = dict(loss_weights)
        self._aligner_losses = aligner_losses([type(each) for each in aligners])

    def encoders(self) -> dict[str, Encoder]:
        """Every encoder by its slot, as ``Batch.inputs`` names them."""
        views = {f"views.{name}": encoder for name, encoder in self.views.items()}
        return {"text": self.text, **views}  # type: ignore[dict-item]

    def forward(
        self, batch: Batch, *, train: bool = True, encoded: tuple[Text, Views] | None = None
    ) -> Output:
        """Run all parts but the decoder's head; with ``train`` the losses of every part.

        ``encoded`` replaces what the encoders return; an objective may have changed it.
        """
        met = _Met()
        # encoder: the words and the picture become vectors
        text, views = encoded or self.encode(batch)
        seen = views
        met.add("text", text, *views.values())

        # aligner: adds losses and may change what flows on; the decoder keeps the text as it was
        words = text
        for aligner, names in zip(self.aligner, self._aligner_losses, strict=True):
            aligned = aligner(words, views, batch.gold if train else None)
            words, views = aligned.text, aligned.views
            met.add_losses(_renamed(aligned.losses, names))

        # fuser: the words, or below the candidate spans, look at the picture
        units = Units.of_words(words)
        if self.fuser is not None and self.fuser.level == "token":
            units = self.fuser(units, views)
            met.add("fuser", units)

        # decoder: builds the units to classify, words or candidate spans, and learns from gold
        units = self.decoder.units(units, text, batch.samples)
        met.add("decoder", units)
        if self.fuser is not None and self.fuser.level == "span":
            units = self.fuser(units, views)
            met.add("fuser", units)
        if train:
            met.add_losses(self.decoder.loss(units, text, batch.gold))

        # objective: may run all this again on changed inputs
        output = Output(units, text, met.losses, met.attention, seen)
        if train and self.objective is not None:
            met.add_losses(self.objective(self, batch, output))
        return output

    def encode(self, batch: Batch) -> tuple[Text, Views]:
        """What the encoders make of a batch."""
        if isinstance(self.text, JointEncoder):
            text, views = run(self.text, "text", batch)
            return text, views
        made = {name: run(view, f"views.{name}", batch) for name, view in self.views.items()}  # type: ignore[arg-type]
        return run(self.text, "text", batch), made

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Σ weight × loss."""
        weighted = [self.weight(name) * loss for name, loss in losses.items()]
        return sum(weighted[1:], start=weighted[0])

    def weight(self, name: str) -> float:
        return self.loss_weights.get(name, self.loss_weights.get(name.partition(".")[0], 1.0))

    def predict(self, batch: Batch) -> list[list[ScoredEntity]]:
        """The entities of each sentence. Call in eval mode, without gradients."""
        output = self(batch, train=False)
        return self.decoder.decode(output.units, output.text)

    def publish_attention(self, on: bool = True) -> None:
        """Let encoders and fusers return their attention maps, or stop them from doing so.

        They stand in ``Output.attention`` as ``text.<view>`` and ``fuser.<view>``, shaped as
        :class:`zoo.types.Units` says. Nothing else changes, but publishing takes time.
        """
        for module in self.modules():
            if isinstance(module, Encoder | Fuser):
                module.publish_attention = on


class _Met:
    """The losses and attention maps that a batch meets on its way through the parts."""

    def __init__(self) -> None:
        self.losses: dict[str, Tensor] = {}
        self.attention: dict[str, Tensor] = {}

    def add(self, slot: str, *states: Any) -> None:
        """What a part's results bring along. Raises RunError for a loss's name that is taken."""
        for state in states:
            self.add_losses(state.losses)
            maps = getattr(state, "attention", {})
            if slot != "decoder":  # its units may carry on what the fuser published
                self.attention |= {f"{slot}.{view}": weights for view, weights in maps.items()}

    def add_losses(self, losses: Mapping[str, Tensor]) -> None:
        for name, loss in losses.items():
            if name in COLUMNS:
                raise RunError(f"a part has a loss `{name}`, a column of the history; rename it")
            if self.losses.setdefault(name, loss) is not loss:
                raise RunError(
                    f"two parts have a loss `{name}`, and one would replace the other; "
                    "rename one of them"
                )


def _renamed(losses: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """The losses by the names that a system gives them; ``name.view`` follows ``name``."""
    renamed = {}
    for name, loss in losses.items():
        base, dot, view = name.partition(".")
        renamed[f"{names.get(base, base)}{dot}{view}"] = loss
    return renamed


class Collator:
    """Makes batches; keeps what the encoders prepared of each sample, up to a bound.

    Args:
        keep: bytes of prepared tensors to keep in memory; beyond that they are made anew.
        max_tokens: what an encoder may read at once (:mod:`zoo.microbatches`); None: everything.
    """

    def __init__(self, system: System, keep: int = 2 << 30, max_tokens: int | None = None) -> None:
        self.encoders = system.encoders()
        self.max_tokens = max_tokens
        self.rows: dict[tuple[str, int], Any] = {}
        self.costs: dict[int, tuple[int, ...]] = {}
        self.varying = _varying(self.encoders)
        self.left = keep

    def cost(self, sample: Sample) -> tuple[int, ...]:
        """What a sample costs each encoder whose cost varies, the largest encoder first.

        Batches of samples in this order are padded little.
        """
        key = id(sample)
        if key not in self.costs:
            self.costs[key] = tuple(
                encoder.cost(sample, self.prepared(slot, encoder, sample))
                for slot, encoder in self.varying.items()
            )
        return self.costs[key]

    def lookups(self, samples: Sequence[Sample]) -> dict[nn.Module, set[int]]:
        """The rows that samples are looked up in, of each table that the encoders name."""
        found: dict[nn.Module, set[int]] = {}
        for slot, encoder in self.encoders.items():
            if type(encoder).lookups is not Encoder.lookups and _trained(encoder):
                for sample in samples:
                    row = self.prepared(slot, encoder, sample)
                    for table, rows in encoder.lookups(row).items():
                        found.setdefault(table, set()).update(rows)
        return found

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        made = {}
        for slot, encoder in self.encoders.items():
            rows = [self.prepared(slot, encoder, sample) for sample in samples]
            slices = [slice(None)]
            if self.max_tokens is not None:
                slices = cut([encoder.cost(*each) for each in zip(samples, rows, strict=True)],
                             self.max_tokens)  # fmt: skip
            made[slot] = [encoder.collate(rows[each]) for each in slices]
        return Batch(
            samples,
            {slot: inputs[0] for slot, inputs in made.items() if len(inputs) == 1},
            {slot: inputs for slot, inputs in made.items() if len(inputs) > 1},
        )

    def foresee(self, samples: Sequence[Sample]) -> None:
        """Tell frozen encoders of samples to come, so that the features of all that are missing
        are computed together, with the first batch."""
        for slot, encoder in self.encoders.items():
            if any(isinstance(module, Frozen | FrozenText) for module in encoder.modules()):
                for sample in samples:
                    self.prepared(slot, encoder, sample)

    def prepared(self, slot: str, encoder: Encoder, sample: Sample) -> Any:
        key = slot, id(sample)  # ids may recur between splits; the splits outlive the collator
        if key in self.rows:
            return self.rows[key]
        row = encoder.prepare(sample)
        size = _bytes(row)
        if size <= self.left:
            self.left -= size
            self.rows[key] = row
        return row


def _varying(encoders: Mapping[str, Encoder]) -> dict[str, Encoder]:
    """The encoders whose cost differs from sample to sample, the most trained parameters first.

    Pictures with a fixed number of regions all cost the same, and so do stored features.
    """
    size = {slot: _trained(encoder) for slot, encoder in encoders.items()}
    return {
        slot: encoders[slot]
        for slot in sorted(size, key=size.__getitem__, reverse=True)
        if slot == "text" or (size[slot] and not getattr(encoders[slot], "regions", None))
    }


def _trained(module: nn.Module) -> int:
    """How many numbers of a module are trained."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def _bytes(row: Any) -> int:
    if isinstance(row, Tensor):
        return row.nbytes
    return sum(map(_bytes, row)) if isinstance(row, (tuple, list)) else 64
