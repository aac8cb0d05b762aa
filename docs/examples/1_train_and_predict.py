"""Train a small system on generated data, and find entities in new sentences."""

from pathlib import Path

import zoo

REGISTRY = """\
include: zoo
suites:
  first: {systems: [bert-crf], datasets: [mini], seeds: [1], backbone: tiny, recipe: tiny}
"""

Path("first.yaml").write_text(REGISTRY, encoding="utf-8")
(run,) = zoo.run("first.yaml", overrides=["datasets.mini.train=60", "recipes.tiny.epochs=2"])
print(f"{run.system}: F1 {run.test.f1:.2f} on the test split")

model = run.load()
found = model.predict("Anna Weber flew from Paris to Washington.")
for entity in found.entities:
    print(entity.type, entity.text, entity.characters, f"{entity.score:.2f}")
