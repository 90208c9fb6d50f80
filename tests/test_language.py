"""The words of code, docs and pages: the project's vocabulary, named actors, and statements instead of questions."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRIVATE = (
    r"vouch\w*",
    r"(?<!single )flights?",
    "aims?",
    "troubles?",
    "doors?",
    "neighbours?",
    "world",
    "chances?",
    "burn(?:s|t|ed|ing)?",
    "spoilt",
    "surroundings",
)
BANNED = re.compile(rf"(?i)(?<![a-z])(?:{'|'.join(PRIVATE)})(?![a-z])")
"""Private words. The field's are: approval, pending proof, problem, blocked endpoint, dependency, random, redeem."""
SUBJECTS = re.compile(r"(?i)\b(whoever|nobody|somebody|he|him|his|himself)\b")
"""A sentence names its actor: the user, the administrator, the operator, the browser, the gateway, Keycloak."""
FROZEN = frozenset({"last_burn", "vouching"})
"""A field of the sealed enrolments, and a key in a step's JSON: stored or public, so they keep their names."""
MODULES = sorted(p for folder in ("gateway", "bench", "tools") for p in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "templates").rglob("*.html")])
CODE = re.compile(r"`[^`\n]*`|\{[%#].*?[%#]\}|\]\([^)]*\)")
"""Quoted code, template tags and addresses of links."""


def tokens(file: Path) -> Iterator[tokenize.TokenInfo]:
    """All tokens of a Python file."""
    return tokenize.generate_tokens(io.StringIO(file.read_text()).readline)


def words(name: str) -> str:
    """The words of an identifier, apart: `DemoAdminCodes` and `demo_admin_codes` read alike."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ")


def prose_of(file: Path) -> Iterator[tuple[int, str]]:
    """Docstrings and comments of a file, each line with its number."""
    for token in tokens(file):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.string.startswith('"""')):
            yield from enumerate(token.string.splitlines(), token.start[0])


def faults(file: Path, lines: Iterator[tuple[int, str]]) -> list[str]:
    """The lines with a private word, or with a sentence that does not name its actor."""
    plain = ((n, CODE.sub("", line)) for n, line in lines)
    return [
        f"{file.relative_to(ROOT)}:{n}: {line.strip()}"
        for n, line in plain
        if BANNED.search(line) or SUBJECTS.search(line)
    ]


def test_identifiers_use_the_vocabulary() -> None:
    found = {
        f"{file.relative_to(ROOT)}: {token.string}"
        for file in (*MODULES, *TESTS)
        if file != Path(__file__)
        for token in tokens(file)
        if token.type == tokenize.NAME and token.string not in FROZEN and BANNED.search(words(token.string))
    }
    assert sorted(found) == []


def test_files_use_the_vocabulary() -> None:
    assert [str(p.relative_to(ROOT)) for p in (*MODULES, *TESTS, *PAGES) if BANNED.search(words(p.stem))] == []


def test_docstrings_and_comments_use_the_vocabulary_and_name_their_actor() -> None:
    assert [fault for file in MODULES for fault in faults(file, prose_of(file))] == []


def test_docs_and_pages_use_the_vocabulary_and_name_their_actor() -> None:
    found = [fault for file in PAGES for fault in faults(file, enumerate(iter(file.read_text().splitlines()), 1))]
    assert found == []


def test_docstrings_open_with_a_statement() -> None:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    questions = [
        f"{file.relative_to(ROOT)}: {text}"
        for file in MODULES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, documented)
        and (text := (ast.get_docstring(node) or "").split("\n\n")[0]).rstrip().endswith("?")
    ]
    assert questions == []
