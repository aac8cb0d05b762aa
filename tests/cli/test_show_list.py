"""``zoo --help``, ``--version``, ``init``, ``list`` and ``show``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

import zoo
from zoo import cli
from zoo import registry as parts

SHIPPED = Path(__file__).parents[2] / "registry.yaml"

Use = Callable[..., tuple[int, str, str]]


@pytest.fixture
def use(tmp_path: Path, monkeypatch, capsys) -> Use:
    """Run the command line in this process: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZOO_DATA", raising=False)

    def use(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["zoo", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return use


HEAVY = ("torch", "transformers", "rich", "pydantic", "yaml", "numpy", "PIL")
STARTED = """
import sys
from zoo.cli import main
try:
    main()
except SystemExit as stop:
    loaded = [name for name in {heavy} if name in sys.modules]
    sys.exit(f"loaded: {{loaded}}" if loaded or stop.code else 0)
"""


@pytest.mark.parametrize("words", ["--help", "--version", "run --help", "list"])
def test_nothing_heavy_is_imported(words: str, tmp_path: Path) -> None:
    """Help and lists come at once."""
    command = [sys.executable, "-c", STARTED.format(heavy=HEAVY), *words.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("words", ["data list", "data check"])
def test_no_torch_is_imported(words: str, registry: Path, use: Use) -> None:
    """Data are listed and checked without it."""
    command = [sys.executable, "-c", STARTED.format(heavy=("torch",)), *words.split()]
    done = subprocess.run(command, cwd=registry.parent, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_help(use: Use) -> None:
    code, out, _ = use("--help")
    assert code == 0
    for verb, summary in cli.VERBS.items():
        assert verb in out
        assert " ".join(summary.split()[:3]) in out
    for verb in cli.VERBS:
        code, out, _ = use(verb, "--help")
        assert code == 0
        assert out.startswith(f"Usage: zoo {verb}")


def test_version(use: Use) -> None:
    assert use("--version") == (0, f"zoo, version {zoo.__version__}\n", "")


def listed(out: str) -> dict[str, dict[str, str]]:
    """Name and summary of every part, by kind."""
    kinds: dict[str, dict[str, str]] = {}
    for line in out.splitlines():
        if line.startswith("  "):
            name, _, summary = line.strip().partition(" ")
            kinds[list(kinds)[-1]][name] = summary.strip()
        else:
            kinds[line.partition(" ")[0]] = {}
    return kinds


def test_list(use: Use) -> None:
    code, out, _ = use("list")
    assert code == 0
    kinds = listed(out)
    assert list(kinds) == list(parts.KINDS)
    for kind, name in parts.BUILT_IN:
        assert len(kinds[kind][name]) > 10, "the first line of its docstring"
    assert kinds["decoder"]["crf"] == "Linear-chain CRF over words, BIO or BIOES."


def test_list_one_kind_and_plug_ins(use: Use, tmp_path: Path) -> None:
    code, out, _ = use("list", "fuser")
    assert code == 0
    assert list(listed(out)) == ["fuser"]
    (tmp_path / "more.py").write_text(
        "from zoo.registry import register\n"
        "@register('fuser', 'test_more')\nclass More:\n    'Fuses more.'\n"
    )
    more = listed(use("list", "fuser", "--plugin", "more.py")[1])["fuser"]
    assert more["test_more"] == "Fuses more."
    assert "cross_attention" in more


def test_show(use: Use) -> None:
    code, out, err = use("show", "bert-crf-attention", "--registry", str(SHIPPED))
    assert (code, err) == (0, "")
    assert out.startswith("bert-crf-attention, backbone tiny\n")
    assert "cites: devlin-etal-2019-bert" in out
    resolved = yaml.safe_load(out[out.index("\ntext:\n") : out.index("\ntext: transformer")])
    assert resolved["text"]["scratch"]["width"] == 64
    assert resolved["views"]["grid"]["part"] == "small_cnn"
    assert resolved["fuser"]["level"] == "token"
    assert resolved["fuser"]["dropout"] == 0.1, "defaults are shown"
    for slot, part, module in (
        ("text", "transformer", "zoo.encoders.transformer"),
        ("views.grid", "small_cnn", "zoo.encoders.small"),
        ("fuser", "cross_attention", "zoo.fusers.cross_attention"),
        ("decoder", "crf", "zoo.decoders.crf"),
    ):
        assert f"\n{slot}: {part} ({module}." in out
    assert "Cites: xu-etal-2024-effective" in out
    counts = out[out.index("\nparameters (") + 1 :].splitlines()
    assert [line.split()[0] for line in counts[1:]] == ["text", "views", "fuser", "decoder", "all"]
    trained, total = (
        [int(line.split()[column].replace(",", "")) for line in counts[1:]] for column in (1, 3)
    )
    assert sum(trained[:-1]) == trained[-1] > 0
    assert sum(total[:-1]) == total[-1] >= trained[-1]


def test_a_system_as_a_diagram(use: Use) -> None:
    """From the inputs down, with the widths that the parts publish."""
    code, out, err = use("show", "smner", "--registry", str(SHIPPED))
    assert (code, err) == (0, "")
    lines = out[: out.index("\ncites")].splitlines()
    assert all(len(line) <= 80 for line in out[: out.index("\ntext:\n")].splitlines())
    told = [" ".join(line.strip("| ").split()) for line in lines[3:]]
    told = [line for line in told if line.strip("v|+- ")]
    assert told == [
        "words picture",
        "text: transformer | | views.grid: small_cnn",
        "scratch: {layers: 2, width: 64, | | -> B x 25 x 64",
        "heads: 4}",
        "-> B x N x 64",
        "aligner: information_bottleneck",
        "level: sentence",
        "loss: 0.1 * mutual_information + 0.001 * kl",
        "decoder: span_classifier, which builds the candidate spans",
        "-> B x U x 64",
        "fuser: cross_attention",
        "level: span, feed_forward: 4, concat: true",
        "-> B x U x 128",
        "decoder: span_classifier",
        "hidden: true",
        "loss: spans",
        "-> the classes of each of the U units, and entities",
        "B sentences, N words, U candidate spans",
    ]


@pytest.mark.parametrize(("name", "met"), [("2m-ner", 7), ("ita", 1), ("smner", 7)])
def test_the_lines_of_a_diagram_meet(use: Use, name: str, met: int) -> None:
    """Each that comes into a box has come from the line above."""
    out = use("show", name, "--registry", str(SHIPPED))[1]
    found = 0
    for above, line in pairwise(out[: out.index("\ncites")].splitlines()[4:]):
        for place, mark in enumerate(line):
            if line.startswith("+") and mark == "v":
                assert above[place] == "|"
                found += 1
    assert found == met


def test_a_diagram_of_what_cannot_be_built(use: Use) -> None:
    gone = ["--backbone", "paper", "-o", "backbones.paper.text.model=./gone"]
    code, out, _ = use("show", "umt", "--registry", str(SHIPPED), *gone)
    assert code == 0
    assert "| -> B x N x ? " in out
    assert "views.grid: cnn, frozen" in out


def test_many_views_stand_in_one_box(use: Use) -> None:
    more = [f"systems.bert-crf-attention.views.v{i}={{part: $patch}}" for i in range(4)]
    options = [word for each in more for word in ("-o", each)]
    code, out, _ = use("show", "bert-crf-attention", "--registry", str(SHIPPED), *options)
    assert code == 0
    assert "| views.v3: small_vit" in out
    assert all(len(line) <= 80 for line in out[: out.index("\ncites")].splitlines())


def test_show_tells_citations_and_deviations(use: Use) -> None:
    code, out, _ = use("show", "mt-mner-released", "--registry", str(SHIPPED))
    assert code == 0
    assert "Han et al. (2025): MT-MNER:" in out
    assert "deviations of mt-mner, which it extends (docs/systems/mt-mner.md):" in out
    assert "- keys have no bias | they have | it moves" in out
    assert "deviations" not in use("show", "bert-crf", "--registry", str(SHIPPED))[1]


def test_show_tells_what_papers_report(use: Use) -> None:
    """Under the very name of the system, with what is known to be wrong with the number."""
    out = use("show", "mmib", "--registry", str(SHIPPED))[1]
    told = " ".join(out[out.index("\nreported by papers") : out.index("\ndeviations")].split())
    assert "twitter2017: F1 87.60 (" in told
    assert "epoch chosen on test" in told
    for name in ("more-cross-view", "2m-ner"):  # no number is theirs
        assert (
            "reported" not in use("show", name, "--registry", str(SHIPPED))[1].split("\ntext:")[0]
        )


def test_every_page_is_of_a_system(use: Use) -> None:
    """So that each page's deviations are shown."""
    names = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))["systems"]
    pages = {page.stem for page in (SHIPPED.parent / "docs" / "systems").glob("*.md")}
    assert pages
    assert pages <= set(names)


def test_cite(use: Use) -> None:
    code, out, err = use("cite", "umt", "ita", "umt", "--registry", str(SHIPPED))
    assert (code, err) == (0, "")
    keys = [line for line in out.splitlines() if line.startswith("@")]
    assert keys == [
        "@inproceedings{yu-etal-2020-improving-multimodal,",
        "@inproceedings{wang-etal-2022-ita,",
    ]
    assert out.count("\n}") == 2
    shipped = (Path(zoo.__file__).parent / "citations.bib").read_text(encoding="utf-8")
    assert all(entry.strip() in shipped for entry in out.split("\n\n"))


def test_cite_with_the_parts(use: Use) -> None:
    out = use("cite", "--parts", "bert-crf-attention", "--registry", str(SHIPPED))[1]
    for key in ("devlin-etal-2019-bert", "lafferty-etal-2001-conditional"):
        assert out.count(f"{{{key},") == 1
    assert use("cite", "crf", "--registry", str(SHIPPED))[1].startswith(
        "@inproceedings{lafferty-etal-2001-conditional,"
    )
    assert (
        "{lu-etal-2018-visual," in use("cite", "lu-etal-2018-visual", "--registry", str(SHIPPED))[1]
    )


def test_what_cannot_be_cited(use: Use) -> None:
    shipped = ("--registry", str(SHIPPED))
    code, out, err = use("cite", "umtt", *shipped)
    assert (code, out) == (2, "")
    assert "unknown system, part or citation key `umtt`; did you mean `umt`?" in err
    code, out, err = use("cite", "umt", "small_cnn", *shipped)
    assert (code, out) == (2, "")
    assert err == "zoo: `small_cnn` cites nothing\n"
    code, out, err = use("cite", "umt", *shipped, "-o", "systems.umt.cites=none-2031-known")
    assert (code, out) == (2, "")
    assert err == "zoo: no BibTeX entry is known for the citation key `none-2031-known`\n"
    out = use("show", "umt", *shipped, "-o", "systems.umt.cites=none-2031-known")[1]
    assert "(no BibTeX entry is known) [none-2031-known]" in out


def test_list_systems(use: Use) -> None:
    code, out, err = use("list", "systems", "--registry", str(SHIPPED))
    assert (code, err) == (0, "")
    written = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))["systems"]
    found = listed(out)["systems"]
    assert found == {name: system["description"] for name, system in written.items()}
    assert use("list", "system", "--registry", str(SHIPPED))[2] == (
        "zoo: unknown kind `system`; did you mean `systems`?\n"
    )


def test_show_with_an_override_and_a_backbone(use: Use) -> None:
    override = "systems.bert-crf.decoder.scheme=BIOES"
    out = use("show", "bert-crf", "--registry", str(SHIPPED), "-o", override)[1]
    assert "scheme: BIOES" in out
    gone = ["--backbone", "paper", "-o", "backbones.paper.text.model=./gone"]
    code, out, _ = use("show", "bert-crf", "--registry", str(SHIPPED), *gone)
    assert code == 0
    assert out.startswith("bert-crf, backbone paper\n")
    assert "parameters: not counted, as it can't be built here: model `./gone`" in out


def test_init(use: Use, tmp_path: Path) -> None:
    """It writes the shipped registry, and never over another."""
    code, out, _ = use("init", "new/folder")
    assert code == 0
    written = tmp_path / "new" / "folder" / "registry.yaml"
    assert written.read_bytes() == SHIPPED.read_bytes()
    assert f"zoo run {Path('new/folder/registry.yaml')}" in out

    written.write_text("mine")
    code, _, err = use("init", "new/folder")
    assert code == 2
    assert "exists already" in err
    assert written.read_text() == "mine"
    assert use("init", "new/folder", "--force")[0] == 0
    assert written.read_bytes() == SHIPPED.read_bytes()

    code, _, err = use("init", str(written))
    assert code == 2
    assert len(err.splitlines()) == 1
