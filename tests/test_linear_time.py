"""Tests of the cost of patterns: a client's text costs time in proportion to its length."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gateway
from tests.fixtures.linear_time import SECONDS, parts, patterns

PACKAGE = Path(gateway.__file__).parent


@pytest.mark.attack("S4")
def test_every_pattern_and_text_walk_finishes_on_half_a_mebibyte_of_hostile_text() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fixtures.linear_time"],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
        check=False,
    )
    tried = ended.stdout.splitlines()
    assert tried[-1:] == ["finished"], f"over {SECONDS} s of CPU, or an error: {tried[-1:]}\n{ended.stderr[-2000:]}"


def test_a_quadratic_pattern_is_stopped() -> None:
    """The test above can fail."""
    script = (
        "import re; from tests.fixtures import linear_time; linear_time.SECONDS = 1; linear_time._allow('it');"
        "linear_time.try_pattern(re.compile('eyJ[a-zJ]+[.]'))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=PACKAGE.parent, check=False)
    assert ended.returncode < 0


def test_the_parts_of_a_pattern_are_its_words_and_one_character_of_each_class() -> None:
    found = patterns()["gateway.observe.redaction._JWT"]
    assert set(parts(found)) == {"eyJ", ".", "A", "a", "0", "_", "-"}


def test_every_pattern_of_the_package_is_a_module_constant() -> None:
    elsewhere = []
    for file in PACKAGE.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        named = {id(node.value) for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)}
        elsewhere += [
            f"{file.relative_to(PACKAGE)}:{node.lineno}: re.{node.func.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr != "escape"
            and id(node) not in named
        ]
        elsewhere += [
            f"{file.relative_to(PACKAGE)}:{node.lineno}: from re import"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "re"
        ]
    assert elsewhere == []
