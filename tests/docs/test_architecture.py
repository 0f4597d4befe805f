"""docs/architecture.md lists the packages and layers that there are."""

from __future__ import annotations

import tomllib

from pages import ROOT, blocks, table_cells

PAGE = ROOT / "docs" / "architecture.md"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]


def layers_of_the_page() -> list[set[str]]:
    """The packages of each layer, from the top, as the table has them."""
    tables = [table_cells(block) for block in blocks(PAGE) if block.kind == "table"]
    (table,) = [rows for rows in tables if rows[0][:2] == ["layer", "package"]]
    found: list[set[str]] = []
    for number, package, *_ in table[1:]:
        if int(number) > len(found):
            found.append(set())
        assert int(number) == len(found), package
        found[-1].add(package.strip("`"))
    return found


def test_layers_are_those_of_the_contract() -> None:
    """The table's layers, from the top, are pyproject's."""
    (contract,) = [each for each in CONTRACTS if each.get("containers") == ["vyre_dist"]]
    layers = [{name.strip() for name in layer.split("|")} for layer in contract["layers"]]
    assert layers_of_the_page() == layers


def test_packages_are_those_of_the_tree() -> None:
    """The table has every package and module at the top of vyre_dist, and no other."""
    top = ROOT / "vyre_dist"
    there = {path.stem for path in top.glob("*.py") if path.stem != "__init__"}
    there |= {path.parent.name for path in top.glob("*/__init__.py")}
    assert set().union(*layers_of_the_page()) == there


def test_contracts_are_all_told() -> None:
    """The page names every contract that lint-imports checks."""
    text = " ".join(PAGE.read_text().split())
    missing = [
        each["name"]
        for each in CONTRACTS
        if each.get("containers") != ["vyre_dist"] and each["name"] not in text
    ]
    assert missing == []
