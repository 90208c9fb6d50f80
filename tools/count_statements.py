"""Counts the statements of the gateway without its demo, for each package and in all.

    python -m tools.count_statements

A statement is a node `ast.stmt` of the syntax tree. Docstrings do not count, and neither do other statements that
consist of a string. Comments, line breaks and the length of names do not change the figures. A package includes its
subpackages.
"""

import ast
from collections import Counter
from pathlib import Path

GATEWAY = Path(__file__).resolve().parents[1] / "gateway"
WITHOUT = "demo"


def statements(source: str) -> int:
    """Counts the statements of a module."""
    return sum(isinstance(node, ast.stmt) and not _is_text(node) for node in ast.walk(ast.parse(source)))


def _is_text(node: ast.stmt) -> bool:
    """Whether a statement is a docstring, of whatever it documents."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def packages(folder: Path) -> dict[str, tuple[int, int]]:
    """Counts the files and the statements of each package in `folder`. "" is for modules directly in it."""
    files: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for path in sorted(folder.rglob("*.py")):
        package, *inside = path.relative_to(folder).parts
        package = package if inside else ""
        if package != WITHOUT:
            files[package] += 1
            counts[package] += statements(path.read_text(encoding="utf-8"))
    return {package: (files[package], counts[package]) for package in sorted(files)}


def main() -> None:
    """Prints the figures."""
    found = packages(GATEWAY)
    rows = [(f"{GATEWAY.name}/{package}".rstrip("/"), *counts) for package, counts in found.items()]
    total = ("total", sum(files for files, _ in found.values()), sum(count for _, count in found.values()))
    print(f"{'package':<24}{'files':>7}{'statements':>12}")
    for name, files, count in (*rows, total):
        print(f"{name:<24}{files:>7,}{count:>12,}")


if __name__ == "__main__":
    main()
