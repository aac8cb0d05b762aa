"""Train two systems under two seeds each, and say whether they differ."""

import zoo

small = ["datasets.mini.train=40", "datasets.mini.test=40", "recipes.tiny.epochs=1"]
zoo.run(
    systems=["bert-crf", "cnn-bilstm-crf"],
    datasets=["mini"],
    seeds=[1, 2],
    overrides=small,
    results="compared",
)
found = zoo.compare("bert-crf", "cnn-bilstm-crf", results="compared")
print(f"F1 {found.f1[0]:.2f} and {found.f1[1]:.2f}: a difference of {found.delta:+.2f}")
if found.why_not is None:
    print(f"95 % interval {found.low:+.2f} to {found.high:+.2f}, p {found.p:.3f}")
else:
    print(f"no interval: {found.why_not}")
