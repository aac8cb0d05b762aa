"""Read a dataset, and score predictions that were made elsewhere."""

from collections import Counter

import zoo

splits = zoo.read("mini")
types = Counter(entity.type for sample in splits["train"] for entity in sample.entities)
print("entities in the training split:", dict(types))

gold = [sample.entities for sample in splits["test"]]
capitals = [
    [(i, i + 1, "LOC") for i, word in enumerate(sample.words) if i and word[0].isupper()]
    for sample in splits["test"]
]
scores = zoo.score(gold, capitals)
print(f"P {scores.precision:.2f}, R {scores.recall:.2f}, F1 {scores.f1:.2f}")
for name, part in sorted(scores.per_type.items()):
    print(f"{name}: F1 {part.f1:.2f}")
