"""The words of code, docs and pages: the project's vocabulary, named actors, and statements instead of questions."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
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
PERSONS = re.compile(r"(?i)\b(whoever|whom|nobody|somebody|everybody|anybody|he|him|his|himself)\b")
"""Subjects that name no actor. An identifier names the user, the attacker, the request or the store."""
STILTED = re.compile(r"^test_(what|who)_|_(stands?|told|goes|comes|born|dies|dead|his|ours|anew|meanwhile)(_|$)")
"""Riddles and figures of speech in the name of a test: it states the asserted fact with the verbs of the trade."""
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


@cache
def names_in(file: Path) -> frozenset[str]:
    """Every identifier of a file; none of this one, which lists the banned words."""
    if file == Path(__file__):
        return frozenset()
    return frozenset(token.string for token in tokens(file) if token.type == tokenize.NAME)


def names_of(files: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Every identifier of these files."""
    return ((file, name) for file in files for name in names_in(file))


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
        f"{file.relative_to(ROOT)}: {name}"
        for file, name in names_of((*MODULES, *TESTS))
        if name not in FROZEN and BANNED.search(words(name))
    }
    assert sorted(found) == []


def test_identifiers_of_tests_name_an_actor() -> None:
    found = {f"{file.relative_to(ROOT)}: {name}" for file, name in names_of(TESTS) if PERSONS.search(words(name))}
    assert sorted(found) == []


def test_names_of_tests_state_a_fact() -> None:
    found = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in TESTS
        for name in re.findall(r"def (test_\w+)", file.read_text())
        if STILTED.search(name)
    }
    assert sorted(found) == []


def test_files_use_the_vocabulary() -> None:
    assert [str(p.relative_to(ROOT)) for p in (*MODULES, *TESTS, *PAGES) if BANNED.search(words(p.stem))] == []


def test_docstrings_and_comments_use_the_vocabulary_and_name_their_actor() -> None:
    found = [fault for file in (*MODULES, *TESTS) if file != Path(__file__) for fault in faults(file, prose_of(file))]
    assert found == []


def test_docs_and_pages_use_the_vocabulary_and_name_their_actor() -> None:
    found = [fault for file in PAGES for fault in faults(file, enumerate(iter(file.read_text().splitlines()), 1))]
    assert found == []


def test_docstrings_open_with_a_statement() -> None:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    questions = [
        f"{file.relative_to(ROOT)}: {text}"
        for file in (*MODULES, *TESTS)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, documented)
        and (text := (ast.get_docstring(node) or "").split("\n\n")[0]).rstrip().endswith("?")
    ]
    assert questions == []
