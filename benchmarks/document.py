"""docs/benchmarks.md and its charts, written from the results that are kept."""

from __future__ import annotations

from benchmarks import tables
from benchmarks.cases import Case, Rows
from benchmarks.contest_chart import contest
from benchmarks.contestants import PEERS, ROOT
from benchmarks.results import Result, kept
from benchmarks.server import data as server_data

_DOCS = ROOT / "docs"
_HEAD = """# Benchmarks

The provider beside what else brings calls from an API to a warehouse. Written by
`make bench ARGS=--write`; every figure is measured by [benchmarks/](../benchmarks), none is typed.

{machine} Measured {dates} (UTC).
{load}

| tool | what is measured |
| --- | --- |
| this provider | `extract_calls` and `enrich_calls`, what the operators run |
{peers}

- All talk to one small server that is none of theirs (`benchmarks/server`): responses are rendered
  before they are requested. Contestants run in turn, each in a process and an environment of its
  own, figures are medians.
- **Seconds in the process** are the work alone. **Whole process** adds the start of Python and what
  it imports. For the provider and HttpOperator most of that is Airflow, which a worker has loaded
  already when a task runs.
- Every run's output is read and checked for every call before its figures count.
- The ratio is seconds in the process beside the provider's: 2.0 is twice as long.
- Each peer is set up by its own documents; the links are in `benchmarks/peers`. 64 requests may be
  in flight where a tool can have several at once.
"""
_MEMORY = """## Memory

Peak memory of the process in the two list cases above. Airflow's own code is in it for the provider
and for HttpOperator. What counts is how it grows with ten times the calls.
"""


def write(cases: tuple[Case, ...]) -> None:
    """Write the document and its charts from what is kept of each case."""
    found = {case.name: (case, result) for case in cases if (result := kept(case))}
    results = [result for _, result in found.values()]
    parts = [_head(results)]
    for case, result in found.values():
        parts.append(_section(case, result))
        _chart(case, result)
        if case.name == "list-100k" and "list-10k" in found:
            parts.append(_memory(found["list-10k"][1].rows, result.rows))
    parts.append(_again(cases))
    (_DOCS / "benchmarks.md").write_text("\n".join(parts))


def _head(results: list[Result]) -> str:
    dates = sorted(result.measured_at for result in results)
    machines = sorted({result.machine for result in results})
    busiest = max(load for result in results for load in result.load)
    peers = "\n".join(
        f"| {peer.name} | `{'`, `'.join(one for one in peer.requirements if '==' in one)}`: "
        f"{_first_line(peer.module)} |"
        for peer in PEERS
    )
    shared = (
        f"Up to {busiest:.0f} processes wanted a processor meanwhile, as each section says: the "
        "machine was shared. Seconds and their ratios vary with that, counts and memory do not."
        if busiest > 4
        else f"Up to {busiest:.1f} processes wanted a processor meanwhile, those measured included."
    )
    return _HEAD.format(
        machine=f"{'; '.join(machines)}.",
        dates=f"from {dates[0]} to {dates[-1]}",
        load=shared,
        peers=peers,
    )


def _section(case: Case, result: Result) -> str:
    table = tables.markdown(tables.cells(case, result.rows))
    words = f"{case.title}: {case.columns[0].head}, a bar for each tool"
    image = f"![{words}](images/bench-{case.name}.svg)"
    low, high = sorted(result.load)
    when = f"Measured {result.measured_at}, load average {low:.0f} to {high:.0f}."
    return (
        f'## {case.title}\n\n<a id="{case.name}"></a>{case.text}\n\n{image}\n\n{table}\n\n{when}\n'
    )


def _chart(case: Case, result: Result) -> None:
    column = case.columns[0]
    values = {
        name: (
            float(value),
            f"{column.text(value)}"
            + (
                f"  ({tables.ratio(case, result.rows, name)}\N{MULTIPLICATION SIGN})"
                if case.is_time
                else ""
            ),
        )
        for name, figures in result.rows.items()
        if (value := figures.get(column.key)) is not None
    }
    _save(case.name, contest(case.title, column.head, values))


def _memory(small: Rows, large: Rows) -> str:
    rows = [["", "10,000 calls, MB", "100,000 calls, MB", "growth, MB"]]
    growth: dict[str, tuple[float, str]] = {}
    for name, figures in small.items():
        before, after = figures["peak_mb"] or 0.0, large[name]["peak_mb"] or 0.0
        rows.append([name, f"{before:.0f}", f"{after:.0f}", f"{after - before:+.0f}"])
        growth[name] = (max(0.0, after - before), f"{after - before:+.0f} MB")
    _save("memory", contest("Memory, 10,000 to 100,000 calls", "growth in MB", growth))
    image = "![Growth of memory in MB, a bar for each tool](images/bench-memory.svg)"
    return f"{_MEMORY}\n{image}\n\n{tables.markdown(rows)}\n"


def _again(cases: tuple[Case, ...]) -> str:
    names = ", ".join(f"`{case.name}`" for case in cases)
    first = server_data.FIRST_DAY
    return (
        "## Measure it yourself\n\n`make bench` runs all of it, in about 20 minutes where nothing "
        "else runs; the peers are installed into `.bench/` at the first time. `make bench "
        f'ARGS="list-10k kill"` runs some cases: {names}. `make bench ARGS=--write` writes this '
        "page anew, too. The calls are made up, and begin on "
        f"{first:%Y-%m-%d}.\n"
    )


def _save(name: str, svg: str) -> None:
    path = _DOCS / "images" / f"bench-{name}.svg"
    path.parent.mkdir(exist_ok=True)
    path.write_text(svg)


def _first_line(module: str) -> str:
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    line = path.read_text().splitlines()[0].strip('"').rstrip(".")
    return (line.partition(": ")[2] or line).replace("``", "`")
