"""Bad registries: each is refused in clear lines, before anything is written."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

LONG = "x" * 5000
DEEP = "[" * 3000 + "]" * 3000
HUGE = "1" + 400 * "0"
LETTERS = "abcdefghij"
BOMB = "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
    f"{name}: &{name} [{', '.join(9 * [f'*{before}'])}]\n" for before, name in pairwise(LETTERS)
)
ABLATION = "ablations:\n  a:\n    base: seeing\n    arms: {none: {aligner: null}}\n"


def grid(paths: int, values: int) -> str:
    keys = ["loss_weights.contrastive", "fuser.heads", "recipe.epochs", "recipe.batch_size"]
    lists = (f"{key}: [{', '.join(map(str, range(1, values + 1)))}]" for key in keys[:paths])
    return f"    grid: {{{', '.join(lists)}}}\n"


# text to replace (of the small registry), its replacement, words of a line
CHANGES = [
    # Recipes: numbers
    *[
        ("epochs: 1", f"epochs: {value}", ["recipes.quick.epochs", ":21"])
        for value in ("-1", "1_000", "1e3", ".nan", ".inf", "1e999", HUGE, "1000001", "[1]",
                      "{a: 1}", "''", "0o", "1:30", "2001-01-01", "yes", LONG)
    ],
    *[
        ("batch_size: 8", f"batch_size: {value}", ["recipes.quick.batch_size", ":22"])
        for value in ("0", "-8", "1000001", ".inf", HUGE, "eight", "[8, 16]", "0.0")
    ],
    *[
        ("1e-3", value, ["recipes.quick.learning_rates.*", ":23"])
        for value in ("0", "-1e-3", ".nan", ".inf", "1e999", "-.inf", HUGE, "1e-999", "[]", "true")
    ],
    *[
        ("    epochs: 1\n", f"    epochs: 1\n    {key}: {value}\n", [f"recipes.quick.{key}", ":22"])
        for key, value in [
            ("threads", "0"), ("threads", "-1"), ("threads", "1025"), ("threads", "1.5"),
            ("weight_decay", "-0.1"), ("weight_decay", ".nan"), ("weight_decay", "1e999"),
            ("warmup", "1.1"), ("warmup", "-0.1"), ("warmup", ".nan"), ("clip", "0"),
            ("clip", ".inf"), ("clip", "-1"), ("accumulate", "0"), ("accumulate", "1000001"),
            ("patience", "0"), ("patience", "-1"), ("precision", "fp8"), ("schedule", "cosine"),
            ("optimizer", "lion"), ("optimizer", "[adam]"),
        ]
    ],
    ('learning_rates: {"*": 1e-3}', "learning_rates: [1e-3]", ["learning_rates", ":23"]),
    ('learning_rates: {"*": 1e-3}', "learning_rates: 1e-3", ["learning_rates", ":23"]),
    ('learning_rates: {"*": 1e-3}', "learning_rates: null", ["learning_rates"]),
    # Suites: seeds and names
    *[
        ("seeds: [1]", f"seeds: {value}", ["suites.mini.seeds", ":28"])
        for value in ("[4294967296]", "[-1]", "[1.5]", "[.nan]", f"[{HUGE}]", "[null]", "[]", "1",
                      "[[1]]", "{a: 1}", "['1']", "[true]", "[1, 2, 1]")
    ],
    ("systems: [plain, seeing]", "systems: plain", ["suites.mini.systems", ":26"]),
    ("systems: [plain, seeing]", "systems: []", ["suites.mini.systems", ":26"]),
    ("systems: [plain, seeing]", "systems: [null]", ["suites.mini.systems", ":26"]),
    ("systems: [plain, seeing]", "systems: [[plain]]", ["suites.mini.systems", ":26"]),
    ("systems: [plain, seeing]", "systems: {plain: 1}", ["suites.mini.systems", ":26"]),
    ("systems: [plain, seeing]", "systems: 7", ["suites.mini.systems", ":26"]),
    ("datasets: [mini]", "datasets: mini", ["suites.mini.datasets", ":27"]),
    ("datasets: [mini]", "datasets: [1]", ["suites.mini.datasets", ":27"]),
    ("backbone: tiny", "backbone: [tiny]", ["suites.mini.backbone", ":29"]),
    ("backbone: tiny", "backbone: {a: tiny}", ["suites.mini.backbone", ":29"]),
    ("backbone: tiny", "backbone: null", ["backbone"]),
    ("recipe: quick", "recipe: 1", ["suites.mini.recipe", ":30"]),
    ("recipe: quick", 'recipe: "qu\\nick"', ["qu\\nick", ":30"]),
    ("recipe: quick", f"recipe: {LONG}", ["recipe", ":30"]),
    ("suites:\n  mini:", "suites:\n  mini: null\n  more:", ["suites.mini", ":25"]),
    ("suites:\n  mini:", "suites:\n  mini: [1]\n  more:", ["suites.mini", ":25"]),
    # Names
    *[
        ("datasets:\n  mini:", f"datasets:\n  mini: {{reader: synthetic}}\n  {name}:",
         ["can't name a file"])
        for name in ("a/b", "'a\\b'", ".hidden", "..", "''", 101 * "x", '"a\\nb"', '"\\u202e"',
                     '"a\\u2028b"')
    ],
    *[
        ("  spans:", f"  {name}:", ["can't name a file"])
        for name in ("a/b", ".x", "''", 101 * "x", '"a\\nb"', '"\\ufeff"')
    ],
    ("  spans:", '  "\\ud800":', ["half a character", ":11"]),
    ("  spans:", '  "\\e[2J":', ["holds the character", ":11"]),
    ("  spans:", '  "\\a":', ["holds the character", ":11"]),
    ("  seeing:", "  ? [a]\n  :", ["a key must be text", ":14"]),
    ("  seeing:", "  {a: 1}:", ["a key must be text", ":14"]),
    # Systems
    ("extends: plain", "extends: [plain]", ["systems.seeing.extends", ":15", "one system"]),
    ("extends: plain", "extends: [a]", ["systems.seeing.extends", ":15"]),
    ("extends: plain", "extends: {a: b}", ["systems.seeing.extends", ":15"]),
    ("extends: plain", "extends: 1", ["systems.seeing.extends", ":15"]),
    ("extends: plain", "extends: ''", ["unknown system", ":15"]),
    ("extends: plain", 'extends: "pl\\nain"', ["pl\\nain", ":15"]),
    ("extends: plain", f"extends: {LONG}", ["unknown system", ":15"]),
    ("  spans:\n", "  spans: null\n  more:\n", ["systems.spans", ":11"]),
    ("  spans:\n", "  spans: [1]\n  more:\n", ["systems.spans", ":11"]),
    ("  spans:\n", "  spans: text\n  more:\n", ["systems.spans", ":11"]),
    ("    text: {part: $text}\n    decoder: {part: span",
     "    text: $text\n    decoder: {part: span",
     ["systems.spans.text", ":12", "mapping"]),
    ("text: {part: $text}", "text: [{part: $text}]", ["systems.plain.text", ":9"]),
    ("text: {part: $text}", "text: {part: [$text]}", ["systems.plain.text", ":9"]),
    ("text: {part: $text}", "text: {part: {part: $text}}", ["systems.plain.text", ":9"]),
    ("text: {part: $text}", "text: {part: $}", ["tiny", ":9"]),
    ("text: {part: $text}", "text: {part: 1}", ["text", ":9"]),
    ("text: {part: $text}", "text: {part: $grid}", ["small_cnn", ":6"]),
    ("{part: crf}", "{part: transformer}", ["unknown decoder", ":10"]),
    ("{part: crf}", "{part: crf, scheme: null, x: 1}", ["`x`", "decoder", ":10"]),
    ("{part: crf}", "{part: crf, scheme: [BIO]}", ["decoder.scheme", ":10"]),
    ("{part: crf}", "{part: crf, frozen: true}", ["`frozen`", ":10"]),
    ("{part: crf}", "{}", ["decoder", "`part`", ":10"]),
    ("{part: crf}", '{part: "c\\0rf"}', ["holds a NUL", ":10"]),
    ("{part: crf}", '{part: "\\ud800"}', ["half a character", ":10"]),
    ("{part: span_classifier}", "{part: span_classifier, max_width: 0}", ["max_width", ":13"]),
    ("{part: span_classifier}", "{part: span_classifier, max_width: -1}", ["max_width", ":13"]),
    ("{part: span_classifier}", f"{{part: span_classifier, max_width: {HUGE}}}", ["max_width"]),
    ("views: {grid: {part: $grid}}", "views: [{part: $grid}]", ["systems.seeing.views", ":16"]),
    ("views: {grid: {part: $grid}}", "views: {grid: []}", ["views.grid", ":16"]),
    ("views: {grid: {part: $grid}}", "views: {grid: $grid}", ["views.grid", ":16"]),
    ("views: {grid: {part: $grid}}", "views: $grid", ["systems.seeing.views", ":16"]),
    ("views: {grid: {part: $grid}}", "views: {a.b: {part: $grid}}", ["dots", ":16"]),
    ("aligner: {part: contrastive}", "aligner: [null]", ["aligner", ":17"]),
    ("aligner: {part: contrastive}", "aligner: [{part: contrastive}, null]", ["aligner", ":17"]),
    ("aligner: {part: contrastive}", "aligner: [[{part: contrastive}]]", ["aligner", ":17"]),
    ("aligner: {part: contrastive}", "aligner: [contrastive]", ["aligner", ":17"]),
    ("aligner: {part: contrastive}", "aligner: {part: [contrastive]}", ["aligner", ":17"]),
    ("{part: contrastive}", "{part: contrastive, temperature: 0}", ["temperature", ":17"]),
    ("{part: contrastive}", "{part: contrastive, temperature: .nan}", ["temperature", ":17"]),
    ("{part: contrastive}", "{part: contrastive, hidden: 1000000000}", ["hidden", ":17"]),
    ("{part: contrastive}", "{part: contrastive, temperature: .inf}", ["temperature", ":17"]),
    ("heads: 2}\nrec", "heads: 0}\nrec", ["fuser.heads", ":18"]),
    ("heads: 2}\nrec", "heads: -2}\nrec", ["fuser.heads", ":18"]),
    ("heads: 2}\nrec", f"heads: {HUGE}}}\nrec", ["fuser.heads", ":18"]),
    *[
        ("    aligner:", f"    loss_weights: {value}\n    aligner:", ["loss_weights", ":17"])
        for value in ("[1]", "1", "{contrastive: .nan}", "{contrastive: 1e999}", "{contrastive: x}",
                      "{contrastive.gird: 1}", "{crf.grid: 1}")
    ],
    ("    aligner:", "    cites: [1]\n    aligner:", ["cites", ":17"]),
    ("    aligner:", "    description: [a]\n    aligner:", ["description", ":17"]),
    ("    aligner:", "    objective: {part: none}\n    aligner:", ["objective", ":17"]),
    # Backbones
    ("layers: 1", "layers: 0", ["layers", ":5"]),
    ("layers: 1", "layers: 1.0", ["layers", ":5"]),
    ("layers: 1", f"layers: {HUGE}", ["layers", ":5"]),
    ("width: 16", "width: -16", ["width", ":5"]),
    ("width: 16", "width: 1000000000", ["width", ":5"]),
    ("layers: 1", "layers: 1000000000", ["layers", ":5"]),
    ("scratch: {layers: 1, width: 16, heads: 2}", "scratch: [1]", ["scratch", ":5"]),
    ("scratch: {layers: 1, width: 16, heads: 2}", "scratch: 16", ["scratch", ":5"]),
    ("heads: 2}}", "heads: 2, dropout: 1}}", ["dropout", ":5"]),
    ("heads: 2}}", "heads: 2, dropout: .nan}}", ["dropout", ":5"]),
    ("{part: small_cnn}", "null", ["grid"]),
    ("{part: small_cnn}", "[]", ["grid", ":6"]),
    ("{part: small_cnn}", "{part: small_cn}", ["small_cn", ":6"]),
    ("backbones:\n  tiny:", "backbones:\n  small: [1]\n  tiny:", ["backbones.small", ":4"]),
    # Datasets
    *[
        ("train: 24", f"train: {value}", ["datasets.mini.train", ":2"])
        for value in ("0", "-1", ".nan", "2.5", HUGE, "[24]", "many")
    ],
    ("test: 8", "test: 8, size: 1000000", ["size", ":2"]),
    ("test: 8", "test: 8, ambiguous: 1.01", ["ambiguous", ":2"]),
    ("test: 8", "test: 8, missing: .nan", ["missing", ":2"]),
    ("test: 8", "test: 8, grounding: 1", ["grounding", ":2"]),
    ("languages: [en]", "languages: []", ["languages", ":2"]),
    ("languages: [en]", "languages: [en, xx]", ["languages", ":2"]),
    ("languages: [en]", "languages: en", ["languages", ":2"]),
    ("reader: synthetic", "reader: [synthetic]", ["datasets.mini", ":2"]),
    ("reader: synthetic", "raeder: synthetic", ["`reader`", ":2"]),
    # Sections and the file as a whole
    *[(f"{name}:\n", f"{name}: []\nmore_{name}:\n", [name])
      for name in ("datasets", "backbones", "systems", "recipes", "suites")],
    ("datasets:\n  mini:", "datasets: &a\n  more: *a\n  mini:", ["alias", ":1"]),
    ("datasets:\n", "<<: [1]\ndatasets:\n", ["`<<`", ":1"]),
    ("datasets:\n", "<<: 1\ndatasets:\n", ["`<<`", ":1"]),
    ("datasets:\n", "datasets: *gone\nmore:\n", ["not valid YAML", ":1"]),
    ("datasets:\n", f"bomb: {DEEP}\ndatasets:\n", ["nested too deeply"]),
    ("datasets:\n", f"{BOMB}datasets:\n", ["aliases"]),
    ("datasets:\n", "? {[1]: 2}\n: 3\ndatasets:\n", ["a key must be text"]),
    ("datasets:\n", "%YAML 9.9\n---\ndatasets:\n", ["not valid YAML"]),
    ("datasets:\n", "--- 1\n--- 2\ndatasets:\n", ["not valid YAML"]),
    ("datasets:\n", 'include: "a\\0b"\ndatasets:\n', ["holds a NUL", ":1"]),
    ("datasets:\n", 'plugins: ["a\\0b.py"]\ndatasets:\n', ["holds a NUL", ":1"]),
    ("datasets:\n  mini:", 'datasets:\n  "a\\0b": {}\n  mini:', ["holds a NUL", ":2"]),
    # Include and plug-ins
    *[("datasets:\n", f"include: {value}\ndatasets:\n", ["include", ":1", *words])
      for value, words in [("[zoo]", []), ("1", []), ("{a: b}", []), ("gone.yaml", ["gone.yaml"]),
                           (".", []), ("registry.yaml", ["itself"]), ("/dev/null", []),
                           ("true", []), (LONG, [])]],
    *[("datasets:\n", f"plugins: {value}\ndatasets:\n", ["plugins", ":1", *words])
      for value, words in [("gone.py", []), ("[gone.py]", ["gone.py"]), ("[1]", []), ("{a: b}", []),
                           ("[.]", []), ("[registry.yaml]", []), ("[[a.py]]", []),
                           (f"[{LONG}]", []), ("[null]", [])]],
    # Ablations
    *[
        ("suites:\n", ABLATION.replace("{none: {aligner: null}}", arms) + "suites:\n", words)
        for arms, words in [
            ("{}", ["ablations.a", ":27"]), ("[a]", ["ablations.a.arms", ":27"]),
            ("{none: null}", ["arms.none", ":27"]), ("{none: [1]}", ["arms.none", ":27"]),
            ("{base: {aligner: null}}", ["can't be called `base`", ":27"]),
            ("{'': {aligner: null}}", ["can't be called", ":27"]),
            ('{"a\\nb": {aligner: null}}', ["can't be called `a\\nb`", ":27"]),
            ("{none: {alinger: null}}", ["alinger", ":27"]),
            ("{none: {system: plane}}", ["plane", ":27"]),
            ("{none: {system: [plain]}}", ["unknown system", ":27"]),
            ("{none: {extends: plain}}", ["`extends`", ":27"]),
            ("{none: {a..b: 1}}", ["not a path", ":27"]),
            ("{none: {'': 1}}", ["not a path", ":27"]),
            ("{none: {recipe: 1}}", ["not a path", ":27"]),
            ("{none: {recipe.epochs: 0}}", ["epochs", ":27"]),
            ("{none: {recipe.epochs: .nan}}", ["epochs", ":27"]),
            ("{none: {dataset.trian: 1}}", ["trian", ":27"]),
            ("{one: {aligner: null}, two: {aligner: null}}", ["`one` and `two`", ":27"]),
            ("{one: {fuser.level: span}}", ["span_classifier", ":27"]),
            ("{one: {fuser.level.x: 1}}", ["not a mapping", ":27"]),
            ("{one: {views.gird: null}}", ["gird", ":27"]),
        ]
    ],
    ("suites:\n", ABLATION + grid(4, 11) + "suites:\n", ["14,641 combinations", ":28"]),
    ("suites:\n", ABLATION + grid(2, 0) + "suites:\n", ["grid", ":28"]),
    ("suites:\n", ABLATION + "    grid: [1]\nsuites:\n", ["ablations.a.grid", ":28"]),
    ("suites:\n", ABLATION + "    grid: {fuser.heads: 2}\nsuites:\n", ["fuser.heads", ":28"]),
    ("suites:\n", ABLATION + "    leave_one_out: aligner\nsuites:\n", ["leave_one_out", ":28"]),
    ("suites:\n", ABLATION + "    leave_one_out: [1]\nsuites:\n", ["leave_one_out", ":28"]),
    ("suites:\n", ABLATION + "    leave_one_out: [gone]\nsuites:\n", ["gone", ":28"]),
    ("suites:\n", ABLATION + "    across: {dataset.missing: [2]}\nsuites:\n", ["missing", ":28"]),
    ("suites:\n", ABLATION + "    seeds: [-1]\nsuites:\n", ["ablations.a.seeds", ":28"]),
    ("suites:\n", ABLATION.replace("base: seeing", "base: []") + "suites:\n", ["base", ":26"]),
    ("suites:\n", ABLATION.replace("base: seeing", "base: [seeing, seeing]") + "suites:\n",
     ["twice", ":26"]),
    ("suites:\n", ABLATION.replace("base: seeing", "base: {a: b}") + "suites:\n", ["base", ":26"]),
    ("suites:\n", ABLATION.replace("  a:", "  a/b:") + "suites:\n", ["can't name a file", ":25"]),
    ("suites:\n", "ablations: [1]\nsuites:\n", ["ablations", ":24"]),
    ("suites:\n", "ablations: {}\nsuites:\n", ["ablations", ":24"]),
]  # fmt: skip


def label(text: str) -> str:
    return "".join(c if c.isalnum() or c in "_-.:[]{}" else "_" for c in text.strip())[-50:]


@pytest.mark.parametrize(
    ("old", "new", "words"), CHANGES, ids=[f"{i} {label(c[1])}" for i, c in enumerate(CHANGES)]
)
def test_a_change(registry: Path, refuse, old: str, new: str, words: list[str]) -> None:
    text = registry.read_text()
    assert old in text, "the test must change something"
    registry.write_text(text.replace(old, new, 1), encoding="utf-8")
    refuse(["run"], words)


FILES = [
    (b"", ["registry.yaml", "mapping"]),
    (b"\n\n# nothing\n", ["registry.yaml", "mapping"]),
    (b"[]", ["registry.yaml", "mapping"]),
    (b"text", ["registry.yaml", "mapping"]),
    (b"1", ["registry.yaml", "mapping"]),
    (b"{}", ["datasets", "missing"]),
    (b"\x00", ["registry.yaml", "not valid YAML"]),
    (b"datasets:\x00 {}", ["registry.yaml", "not valid YAML"]),
    (b"\xff\xfe\x00", ["registry.yaml", "can't be read"]),
    ("datasets: {}".encode("utf-16"), ["registry.yaml", "can't be read"]),
    (b"caf\xe9: 1", ["registry.yaml", "can't be read"]),
    (b"\xed\xa0\x80: 1", ["registry.yaml", "can't be read"]),
    (b"a: \x1b[2J", ["registry.yaml", "not valid YAML"]),
    (b"a: b: c", ["registry.yaml:1", "not valid YAML"]),
    (b"\tdatasets: 1", ["registry.yaml:1", "not valid YAML"]),
    (b"{" * 3000, ["registry.yaml"]),
    (b"a: 'open", ["registry.yaml", "not valid YAML"]),
    (b"a: !!python/object/apply:os.system [ls]\n", ["tags", ":1"]),
    (b"- datasets\n- systems\n", ["registry.yaml:1", "mapping"]),
    (b"? " * 500, ["registry.yaml"]),
    (b"&a a: *a\n", ["unknown section"]),
    (b"datasets: 1\r\nsystems: 2\r\n", ["datasets", "mapping"]),
    ("\u202edatasets: {}".encode(), ["\\u202e"]),
    (b"datasets: {}\n...\ndatasets: {}\n", ["not valid YAML"]),
]


@pytest.mark.parametrize(("content", "words"), FILES, ids=[str(i) for i in range(len(FILES))])
def test_a_file(tmp_path: Path, refuse, content: bytes, words: list[str]) -> None:
    (tmp_path / "registry.yaml").write_bytes(content)
    refuse(["run"], words)


@pytest.mark.parametrize("verb", ["run", "ablate"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "absent"])
def test_what_is_no_file(tmp_path: Path, refuse, verb: str, kind: str) -> None:
    path = tmp_path / "registry.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    refuse([verb], ["registry.yaml"])


@pytest.mark.skipif(os.getuid() == 0, reason="permissions don't bind root")
def test_what_may_not_be_read(registry: Path, refuse) -> None:
    registry.chmod(0)
    try:
        refuse(["run"], ["registry.yaml", "can't be read"])
    finally:
        registry.chmod(0o600)
