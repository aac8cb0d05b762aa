"""Two thousand damaged registries: each is valid, or refused in single printable lines, at once."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from zoo.config.config import shipped_file
from zoo.config.read import read
from zoo.errors import ConfigError

LONGEST = 30  # seconds on a busy machine; the slowest takes about two of them on an idle one
BLOCK = 100  # mutations a test
VALUES = [
    "~", "null", "true", "no", "0", "-1", "1e999", "-1e999", ".nan", ".inf", "1e-320", "0x10",
    "0o17", "010", "1_000", "12:30:45", "2001-01-01", "''", "\"\"", "\"", "\"", "\"\\0\"",
    "\"\\uD800\"", "\"\\u202e\"", "\"\\n\"", "\"a\\nb\"", "[]", "{}", "[[]]", "[~]", "{~:1}",
    "{[]:1}", "{{}:1}", "{a:", "b}", "[1,1]", "$", "$text", "$grid", "$$", "*", "&", "!", "!!int",
    "!!python/object:os.system", "!!binary", "!!set", "?", "-", ":", "@", "`", "%", "|", ">", "#",
    "zoo", ".", "..", "/", "/dev/null", "./gone", "part", "reader", "text", "*gone", "&a",
    "{<<:1}", "{<<:{a:1}}", "-0", "+1", "1.", ".5", "\u00e9", "\u540d\u524d", "\u200b", "\ufeff",
    "9" * 30, "9" * 299, "9" * 5000, "1" + "0" * 400, "x" * 300, "x" * 100_000,
    "[" * 50 + "]" * 50, "[" * 3000 + "]" * 3000, "{a: " * 400 + "1" + "}" * 400,
    "9007199254740993", "18446744073709551616", '" "', '"\\0"', "a b", "\t",
]  # fmt: skip
KEYS = [
    *("datasets", "backbones", "systems", "recipes", "suites", "ablations", "include", "plugins"),
    *("part", "reader", "extends", "views", "aligner", "fuser", "decoder", "text", "joint"),
    *("objective", "loss_weights", "grid", "arms", "across", "leave_one_out", "base", "scratch"),
    *("<<", "?", "*", "$text", "", "~", "1", "true", '""', "'a.b'", "[a]", "{a: 1}", "\u202e", "/"),
]
CHARACTERS = (
    "{}[]:,&*#?|-<>=!%@`'\"\\$~. 0"
    "\t\n\r\x00\x07\x1b\x7f\x85\u00a0\u200b\u2028\u202e\ufeff\U0001f600"
)

Lines = list[str]


def _parts(line: str) -> tuple[str, str, str]:
    """Indentation, key and what stands behind it."""
    body = line.lstrip(" ")
    key, colon, value = body.partition(":")
    return line[: len(line) - len(body)], key + colon if colon else "", value if colon else body


def _block(lines: Lines, at: int) -> int:
    """Where the block ends that begins in a line: what is indented deeper goes with it."""
    depth, end = len(_parts(lines[at])[0]), at + 1
    while end < len(lines) and len(_parts(lines[end])[0]) > depth:
        end += 1
    return end


def delete(lines: Lines, at: int, chance: random.Random) -> None:
    del lines[at : _block(lines, at)]


def delete_line(lines: Lines, at: int, chance: random.Random) -> None:
    del lines[at]


def duplicate(lines: Lines, at: int, chance: random.Random) -> None:
    where = at if chance.random() < 0.5 else chance.randrange(len(lines))
    lines[where:where] = lines[at : _block(lines, at)]


def swap_lines(lines: Lines, at: int, chance: random.Random) -> None:
    other = chance.randrange(len(lines))
    lines[at], lines[other] = lines[other], lines[at]


def swap_keys(lines: Lines, at: int, chance: random.Random) -> None:
    other = chance.randrange(len(lines))
    (a, key_a, value_a), (b, key_b, value_b) = _parts(lines[at]), _parts(lines[other])
    lines[at], lines[other] = a + key_b + value_a, b + key_a + value_b


def swap_values(lines: Lines, at: int, chance: random.Random) -> None:
    other = chance.randrange(len(lines))
    (a, key_a, value_a), (b, key_b, value_b) = _parts(lines[at]), _parts(lines[other])
    lines[at], lines[other] = a + key_a + value_b, b + key_b + value_a


def change_value(lines: Lines, at: int, chance: random.Random) -> None:
    indent, key, _ = _parts(lines[at])
    lines[at] = f"{indent}{key} {chance.choice(VALUES)}"


def change_inner_value(lines: Lines, at: int, chance: random.Random) -> None:
    """Of one item of a flow mapping or list, or one word of a text."""
    pieces = lines[at].replace("}", " }").replace("]", " ]").replace(",", " ,").split(" ")
    pieces[chance.randrange(len(pieces))] = chance.choice(VALUES)
    lines[at] = " ".join(pieces)


def change_key(lines: Lines, at: int, chance: random.Random) -> None:
    indent, _, value = _parts(lines[at])
    lines[at] = f"{indent}{chance.choice(KEYS)}:{value}"


def change_type(lines: Lines, at: int, chance: random.Random) -> None:
    indent, key, value = _parts(lines[at])
    shape = chance.choice(["[{}]", "{{a: {}}}", "[{}, {}]", '"{}"', "!!str {}", "[[{}]]", "- {}"])
    value = value.strip() or chance.choice(VALUES)
    lines[at] = f"{indent}{key} {shape.format(value, value)}"


def truncate(lines: Lines, at: int, chance: random.Random) -> None:
    lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
    if chance.random() < 0.3:
        del lines[at + 1 :]


def insert(lines: Lines, at: int, chance: random.Random) -> None:
    where = chance.randrange(len(lines[at]) + 1)
    odd = chance.choice(CHARACTERS) * chance.choice([1, 1, 1, 2, 5])
    lines[at] = lines[at][:where] + odd + lines[at][where:]


def add(lines: Lines, at: int, chance: random.Random) -> None:
    indent = _parts(lines[at])[0]
    lines.insert(at, f"{indent}{chance.choice(KEYS)}: {chance.choice(VALUES)}")


def indent(lines: Lines, at: int, chance: random.Random) -> None:
    by, end = chance.choice([-4, -2, -1, 1, 2, 4, 40]), chance.choice([at + 1, _block(lines, at)])
    for i in range(at, end):
        old, key, value = _parts(lines[i])
        lines[i] = " " * max(len(old) + by, 0) + key + value


MUTATIONS: list[Callable[[Lines, int, random.Random], None]] = [
    *(delete, delete_line, duplicate, swap_lines, swap_keys, swap_values, change_value, change_key),
    *(change_inner_value, change_type, truncate, insert, add, indent, change_value),
]


def mutated(text: str, chance: random.Random) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    for _ in range(chance.choice([1, 1, 1, 2, 3, 6])):
        if lines:
            chance.choice(MUTATIONS)(lines, chance.randrange(len(lines)), chance)
    return "\n".join(lines) + "\n"


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Turn a hang into a failure."""

    def stop(number: int, frame: object) -> None:
        raise AssertionError(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_a_mutated_registry_is_valid_or_refused(block: int, registry: Path) -> None:
    read(shipped_file())  # what is imported on the way counts for no mutation
    sources = [shipped_file().read_text(encoding="utf-8"), registry.read_text(encoding="utf-8")]
    refused = 0
    for i in range(block * BLOCK, (block + 1) * BLOCK):
        text = mutated(sources[i % 2], random.Random(i))
        registry.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            with at_most(LONGEST):
                read(registry)
        except ConfigError as error:
            problems = error.problems
        except Exception as error:
            pytest.fail(f"mutation {i}: {type(error).__name__}: {error}")
        else:
            continue
        refused += 1
        assert problems, f"mutation {i}"
        for line in problems:
            assert line, f"mutation {i}"
            assert line.isprintable(), f"mutation {i}: {line!r}"
            assert len(line) <= 600, f"mutation {i}: {line}"
    assert refused > BLOCK // 2, "the mutations do harm"
    assert [each.name for each in registry.parent.iterdir()] == ["registry.yaml"], (
        "nothing is written"
    )
