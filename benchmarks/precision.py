"""Forward and backward of bert-crf in bf16 against fp32: what ``auto`` rests on."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.common import Result, Settings, alternate, ratio, row
from benchmarks.train_step import Epochs
from zoo.training.loop import Trainer
from zoo.training.precision import Precision, resolve_precision


def run(settings: Settings) -> Result:
    epochs = Epochs(settings)
    batches = epochs.batches()[: max(1, settings.batches // 6)]
    count = sum(map(len, batches))

    def side(precision: Precision) -> Callable[[], None]:
        trainer = Trainer(epochs.other, epochs.trainer.recipe, 1, precision)
        made = [trainer.batch(batch) for batch in batches]
        autocast = trainer.accelerator.autocast

        def step() -> None:
            epochs.other.train()
            for batch in made:
                with autocast():
                    loss = epochs.other.total(epochs.other(batch).losses)
                loss.backward()
                epochs.other.zero_grad()

        return step

    times = alternate({"fp32": side("fp32"), "bf16": side("bf16")}, max(1, settings.repeats // 3))
    return Result(
        "bert-crf (minilm): forward and backward in bf16 against fp32",
        f"{epochs.name}: {count} training sentences",
        "sentences",
        [row(name, timing, count) for name, timing in times.items()],
        [ratio("bf16 / fp32", times["bf16"], times["fp32"])],
        [f"`auto` is {resolve_precision(epochs.trainer.recipe)} here."],
    )
