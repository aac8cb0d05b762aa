"""Plug-ins with a fault each: the contract names it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
GATE = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]

pytestmark = pytest.mark.usefixtures("new_parts")


def changed(source: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    return source


def test_the_gate_of_the_readme(contract) -> None:
    report = contract(GATE)
    assert report.faults == []
    assert report.passed
    assert report.checks > 12


HEAD = "self.level, self.width, (self.view, spec) = level, width, next(iter(views.items()))"
RETURN = "return units.with_vectors(vectors)"
NEXT = "next(iter(views.items()))"
FUSERS = {
    "no width": (
        [(HEAD, f"self.level, (self.view, spec) = level, {NEXT}")],
        "no attribute `width`; set `self.width`",
    ),
    "no level": (
        [(HEAD, f"self.width, (self.view, spec) = width, {NEXT}")],
        "no attribute `level`; set `self.level` to one of token, span",
    ),
    "a level that is none": (
        [("= level, width", "= 'tokn', width")],
        "`level` is 'tokn', which is no level of a fuser; did you mean `token`?",
    ),
    "a positional argument": (
        [("width, views, *", "width, views, depth, *")],
        "positional argument `depth`: nothing supplies it",
    ),
    "a loss": (
        [(RETURN, f"{RETURN[:-1]}, {{'margin': vectors.square().mean()}})")],
        "loss `margin` is not listed in `loss_names` (nothing)",
    ),
    "a parameter without gradient": (
        [("super().__init__()", "super().__init__(); self.idle = torch.nn.Linear(2, 2)")],
        "parameters `idle.weight`, `idle.bias`: no gradient",
    ),
    "a parameter whose gradient is zero": (
        [
            ("seen = self.seen(", "seen = self.zero * self.seen("),
            (
                "super().__init__()",
                "super().__init__(); self.zero = torch.nn.Parameter(torch.zeros(1))",
            ),
        ],
        "parameters `seen.weight`, `seen.bias`, `gate.weight`, `gate.bias`: the gradient is zero",
    ),
    "neighbours": (
        [(RETURN, f"vectors = vectors - seen.mean(0)\n        {RETURN}")],
        "a sentence's units change with the other sentences of the batch",
    ),
    "padding": (
        [
            (
                RETURN,
                "vectors = vectors - units.vectors.mean(1)[:, None] * seen[:, None].abs()\n"
                f"        {RETURN}",
            )
        ],
        "units that are padding change the real ones",
    ),
    "an empty mask": (
        [(" * views[self.view].present[:, None]", "")],
        "a view is read where its mask is empty: a row without a picture depends on the content",
    ),
    "masked regions": (
        [
            ("views[self.view].pooled", "views['patch'].regions.mean(1)"),
            (NEXT, "('patch', views['patch'])"),
            ("views[self.view].present", "views['patch'].present"),
        ],
        "a view is read where its mask is empty",
    ),
    "NaN": (
        [
            (
                RETURN,
                f"vectors = vectors / views[self.view].present[:, None, None]\n        {RETURN}",
            )
        ],
        "vectors holds NaN or infinity",
    ),
    "not the unfused text": (
        [(RETURN, f"vectors = torch.tanh(vectors)\n        {RETURN}")],
        "a row without a picture is not the unfused text",
    ),
    "width announced": (
        [("= level, width", "= level, 2 * width")],
        "`width` announces 32, and vectors is 16 wide",
    ),
    "state in an attribute": (
        [
            ("super().__init__()", "super().__init__(); self.scale = torch.rand(1)"),
            ("seen = self.seen(", "seen = self.scale * self.seen("),
        ],
        "state is lost by save and load",
    ),
    "state from training": (
        [
            ("super().__init__()", "super().__init__(); self.steps = 1"),
            ("vectors = units", "self.steps += self.training; vectors = units"),
            ("seen = self.seen(", "seen = 1 / self.steps * self.seen("),
        ],
        "state is lost by save and load",
    ),
    "chance that no seed governs": (
        [
            ("import torch", "import os\n\nimport torch"),
            (
                "torch.nn.Linear(width, width)",
                "torch.nn.Linear(width, width)\n"
                "        self.gate.bias.data += int.from_bytes(os.urandom(4), 'big') / 2**32",
            ),
        ],
        "initial weights differ under the same torch seed",
    ),
    "half precision": (
        [("vectors = units", "assert seen.dtype == torch.float32; vectors = units")],
        "bfloat16 (autocast): raises AssertionError",
    ),
    "randomness in evaluation": (
        [(".sigmoid() * seen", ".sigmoid() * torch.nn.functional.dropout(seen, 0.5)")],
        "randomness in evaluation mode",
    ),
    "no effect": (
        [
            (
                "* seen[:, None]",
                "* (seen * 0 + self.seen.weight.mean() * self.seen.bias.mean())[:, None]",
            )
        ],
        "another picture gives the same units",
    ),
    "an exception": (
        [("vectors = units", "units = units.foo; vectors = units")],
        "raises AttributeError: 'Units' object has no attribute 'foo' (gate.py:19)",
    ),
    "an exit": (
        [("vectors = units", "raise SystemExit(3); vectors = units")],
        "raises SystemExit: 3",
    ),
    "another type": ([(RETURN, "return vectors")], "forward returns a tensor of shape"),
    "the mask": (
        [(RETURN, "return type(units)(vectors, ~units.mask, units.spans)")],
        "`mask` is not the one that came in",
    ),
    "no example": (
        [('level: Literal["token", "span"] = "token"', "level: str")],
        "no example for the required setting `level`; give the class an attribute `example`",
    ),
    "a wrong example": (
        [("def __init__", "example = {'levle': 'token'}\n\n    def __init__")],
        "unknown key `levle` in example; did you mean `level`?",
    ),
    "an example that refuses": (
        [("super()", "from zoo.errors import ConfigError; raise ConfigError('no'); super()")],
        "refuses its example: no",
    ),
    "arguments": (
        [('level: Literal["token", "span"] = "token"', 'level: str = "token", **rest')],
        "constructor argument `**rest`",
    ),
    "no docstring": ([('"""Adds the mean', 'f"""Adds the mean')], "no docstring"),
    "not a fuser": ([("class Gate(Fuser)", "class Gate(torch.nn.Module)")], "does not derive from"),
    "abstract": (
        [("def forward(", "def forwards(")],
        "raises TypeError: Can't instantiate abstract",
    ),
}


@pytest.mark.parametrize("name", FUSERS)
def test_fusers(contract, name: str) -> None:
    changes, line = FUSERS[name]
    report = contract(changed(GATE, *changes))
    assert not report.passed
    assert [fault for fault in report.faults if line in fault], report.faults
    assert not any("\n" in fault for fault in report.faults)


def test_one_line_for_an_exception_that_many_checks_meet(contract) -> None:
    report = contract(
        changed(GATE, ("vectors = units", "if not self.training: 1 / 0\n        vectors = units"))
    )
    assert len(report.faults) == 1, report.faults


def test_several_examples(contract) -> None:
    """A fault says under which of several examples it occurs."""
    source = changed(
        GATE,
        ("def __init__", "examples = [{}, {'level': 'spam'}]\n\n    def __init__"),
        ('level: Literal["token", "span"] = "token"', 'level: str = "token"'),
    )
    (fault,) = contract(source).faults
    assert fault.startswith("`level` is 'spam'")
    assert fault.endswith("(settings {'level': 'spam'})")
