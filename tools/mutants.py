"""Finds the mutations of a module: small changes of its source that a test should notice.

Texts, annotations, decorators, assertions, log lines and `__repr__` are left alone: no decision depends on them.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff
from itertools import islice, pairwise
from random import Random

SWAPS: dict[type[ast.AST], tuple[str, str]] = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
}
LOGS = frozenset({"log", "_log", "logs"})
WITHOUT_DECISION = frozenset({"__repr__", "__str__"})
FORM = frozenset({"repr", "slots", "frozen", "kw_only", "strict", "exc_info", "stacklevel"})
"""Keywords whose values change no decision."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change: the bytes from `start` to `end` become `text`.

    `lines` are the lines whose tests can notice it. They are empty outside functions, where an import runs the code.
    """

    kind: str
    line: int
    lines: range
    start: int
    end: int
    text: str

    def apply(self, source: str) -> str:
        """Returns the changed source."""
        data = source.encode()
        return (data[: self.start] + self.text.encode() + data[self.end :]).decode()

    def diff(self, source: str, name: str) -> str:
        """Returns the change as a diff without context."""
        before, after = source.splitlines(), self.apply(source).splitlines()
        return "\n".join(list(unified_diff(before, after, name, name, n=0, lineterm=""))[2:])

    def changes(self, source: str) -> bool:
        """Whether the changed source is Python and means something else."""
        try:
            return ast.dump(ast.parse(self.apply(source))) != ast.dump(ast.parse(source))
        except SyntaxError:
            return False


def mutations(source: str) -> list[Mutation]:
    """Returns all mutations of a module, in a fixed order."""
    found = _Finder(source)
    found.visit(ast.parse(source))
    return found.found


def _name(node: ast.expr) -> str:
    """Returns the first name of `a.b.c`, or ""."""
    while isinstance(node, ast.Attribute | ast.Call | ast.Await):
        node = node.value if isinstance(node, ast.Attribute | ast.Await) else node.func
    return node.id if isinstance(node, ast.Name) else ""


class _Finder(ast.NodeVisitor):
    def __init__(self, source: str) -> None:
        self.found: list[Mutation] = []
        self._data = source.encode()
        self._starts = [0]
        for line in self._data.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._function: ast.FunctionDef | ast.AsyncFunctionDef | None = None
        self._statement: ast.stmt | None = None

    def _span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        start = self._starts[node.lineno - 1] + node.col_offset
        return start, self._starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)

    def _text(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return self._data[start:end].decode()

    def _add(self, kind: str, node: ast.stmt | ast.expr, text: str, span: tuple[int, int] | None = None) -> None:
        start, end = span or self._span(node)
        lines = range(0)
        if self._function is not None and self._statement is not None:
            lines = range(min(node.lineno, self._statement.lineno), (node.end_lineno or node.lineno) + 1)
        self.found.append(Mutation(kind, node.lineno, lines, start, end, text))

    def _swap(self, kind: str, operator: ast.AST, left: ast.expr, right: ast.expr) -> None:
        """Replaces the operator between two operands."""
        if (words := SWAPS.get(type(operator))) is None:
            return
        start, end = self._span(left)[1], self._span(right)[0]
        between = self._data[start:end].decode()
        self._add(kind, left, between.replace(*words, 1), (start, end))

    def visit(self, node: ast.AST) -> None:
        before = self._statement
        if isinstance(node, ast.stmt):
            self._statement = node
        super().visit(node)
        self._statement = before

    def _function_body(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for default in (*node.args.defaults, *(one for one in node.args.kw_defaults if one)):
            self.visit(default)
        if node.name in WITHOUT_DECISION:
            return
        before, self._function = self._function, node
        for statement in node.body:
            self.visit(statement)
        self._function = before

    visit_FunctionDef = visit_AsyncFunctionDef = _function_body

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if not any(_name(base) == "Protocol" for base in node.bases):
            for statement in node.body:
                self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Assert(self, node: ast.Assert) -> None:
        """Leaves assertions alone."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Leaves texts alone."""

    def visit_Expr(self, node: ast.Expr) -> None:
        if _name(node.value) in LOGS or isinstance(node.value, ast.Constant):
            return
        if self._function is not None and isinstance(node.value, ast.Call | ast.Await):
            self._add("removed statement", node, "pass")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._add("removed raise", node, "pass")

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None or self._function is None:
            return
        returns = ast.unparse(self._function.returns) if self._function.returns else ""
        if not isinstance(node.value, ast.Constant):
            for other in ("True", "False") if returns == "bool" else ("None",):
                self._add("return value", node.value, other)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if _name(node.test) != "TYPE_CHECKING":
            self._negate(node.test)
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._negate(test)
        self.generic_visit(node)

    def _negate(self, test: ast.expr) -> None:
        if isinstance(test, ast.Compare | ast.UnaryOp):
            return  # their own mutations say the same
        self._add("negated condition", test, f"not ({self._text(test)})")

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._add("removed not", node, f"({self._text(node.operand)})")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for operator, (left, right) in zip(node.ops, pairwise((node.left, *node.comparators)), strict=True):
            self._swap("comparison", operator, left, right)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for left, right in pairwise(node.values):
            self._swap("and, or", node.op, left, right)
        for operand in node.values:
            others = [self._text(one) for one in node.values if one is not operand]
            word = SWAPS[type(node.op)][0]
            self._add("removed operand", node, "(" + f" {word} ".join(f"({one})" for one in others) + ")")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if not isinstance(node.left, ast.Constant) or not isinstance(node.left.value, str | bytes):
            self._swap("arithmetic", node.op, node.left, node.right)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if len(node.args) > 1 and not any(isinstance(one, ast.Starred) for one in node.args[:2]):
            first, second = node.args[:2]
            start, end = self._span(first)[0], self._span(second)[1]
            between = self._data[self._span(first)[1] : self._span(second)[0]].decode()
            self._add("swapped arguments", node, self._text(second) + between + self._text(first), (start, end))
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg not in FORM:
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._add("constant", node, str(not node.value))
        elif isinstance(node.value, int | float):
            for other in (node.value + 1, node.value - 1):
                self._add("constant", node, repr(other))


def draw(sources: Mapping[str, str], count: int, seed: int) -> list[tuple[str, Mutation]]:
    """Returns `count` mutations of these files, drawn by a seed: the first ones of a larger draw are the same."""
    every = [(name, mutation) for name in sorted(sources) for mutation in mutations(sources[name])]
    Random(seed).shuffle(every)  # noqa: S311 - a draw, no secret
    return list(islice((one for one in every if one[1].changes(sources[one[0]])), count))
