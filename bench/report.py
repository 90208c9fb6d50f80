"""Turns samples into tables: medians, and ratios taken inside a round."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.load import Sample
from bench.works import Results


@dataclass(frozen=True)
class Table:
    """One table of the report."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """The table for a page."""
        lines = (self.columns, ["---"] * len(self.columns), *self.rows)
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"### {self.title}\n\n{table}\n" + (f"\n{self.note}\n" if self.note else "")


def ratios(results: Results, name: str) -> list[float]:
    """The cost of a design in each round, divided by that of the base (nginx) in the same round."""
    base = results.samples.get(results.work.base, ())
    return [own.cost / other.cost for own, other in zip(results.samples[name], base, strict=False)]


def spread(values: Sequence[float]) -> str:
    """Median, least and most."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else "–"


def table(results: Results) -> Table:
    """The costs of one work."""
    unit, redis = results.work.unit, any(s.redis > s.cpu / 50 for samples in results.samples.values() for s in samples)
    timed = any(s.p99 for samples in results.samples.values() for s in samples)

    def of(samples: Iterable[Sample], value: Callable[[Sample], float]) -> float:
        return median(value(sample) for sample in samples)

    rows = []
    for design in results.designs:
        samples = results.samples[design.name]
        row = [design.title, number(of(samples, lambda s: s.cost) * unit.scale), spread(ratios(results, design.name))]
        row += [number(of(samples, lambda s: s.redis / s.units) * unit.scale)] if redis else []
        row += [number(of(samples, lambda s: s.units / s.seconds))]
        row += [f"{of(samples, lambda s: s.p50):.2f} / {of(samples, lambda s: s.p99):.2f}"] if timed else []
        failed = sum(sample.failed for sample in samples)
        row[0] += f" ({failed} failed)" if failed else ""
        rows.append(row)
    base = next((design.title for design in results.designs if design.name == results.work.base), "nginx")
    columns = ["design", f"CPU {unit.name}", f"÷ {base.partition(',')[0]}"]
    columns += ["Redis " + unit.name] if redis else []
    columns += ["GiB/s" if unit.scale == 1 else "per second"]
    columns += ["p50 / p99 ms"] if timed else []
    return Table(results.title, columns, rows)


def number(value: float) -> str:
    """Three digits, and whole numbers above."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
