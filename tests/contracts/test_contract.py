"""The shipped contract (zoo.contracts) over every registered part and example."""

from __future__ import annotations

from zoo.contracts.check import check


def test_contract(example) -> None:
    assert check(example.kind, example.cls, example.settings) == []
