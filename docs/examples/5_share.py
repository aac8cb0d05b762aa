"""Save a model for others, load it as they would, and see that it predicts the same."""

import zoo

model = zoo.load("bert-crf@mini")
folder = model.save_pretrained("shared", whole=True)
print((folder / "README.md").read_text(encoding="utf-8")[:300])

# model.push_to_hub("your-name/your-model") uploads the same files.
again = zoo.Model.from_pretrained(folder)
sentence = ["Anna", "lives", "in", "Paris"]
assert again.predict(sentence) == model.predict(sentence)
