"""Writes docs/benchmarks.md and its charts from the kept results."""

from __future__ import annotations

from benchmarks import tables
from benchmarks.cases import Case, Rows
from benchmarks.contest_chart import contest
from benchmarks.contestants import PEERS, ROOT
from benchmarks.results import Result, kept
from benchmarks.server import data as server_data

_DOCS = ROOT / "docs"
_HEAD = """# Benchmarks

This page compares the provider with other tools that bring calls from an API to a warehouse.
`make bench ARGS=--write` writes it; [benchmarks/](../benchmarks) measures every figure.

{machine} Measured {dates} (UTC).
{load}

| tool | what is measured |
| --- | --- |
| this provider | `extract_calls` and `enrich_calls`, the functions that the operators run |
{peers}

- All tools use the same small server (`benchmarks/server`), which prepares its responses before
  the first request. The tools run in turn, each in its own process and environment. The figures
  are medians of runs whose output had every call.
- **Seconds in the process** are the work alone. **Whole process** adds the start of Python and its
  imports. For the provider and HttpOperator most of that is Airflow, which a worker has already
  loaded when a task runs.
- The ratio is a tool's seconds in the process divided by the provider's: 2.0 means twice as long.
- Each of the other tools is set up as its documentation says; the links are in
  `benchmarks/peers`. A tool that can have several requests in flight may have 64.
"""
_MEMORY = """## Memory

The peak memory of the process in the two list cases above. For the provider and HttpOperator it
includes Airflow's own code. The important figure is the growth with ten times the calls.
"""


def write(cases: tuple[Case, ...]) -> None:
    """Write the document and its charts from the last result of each case."""
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
        f"The machine was shared: up to {busiest:.0f} processes competed for its processors, as "
        "each section says. That changes seconds and ratios, but not counts and memory."
        if busiest > 4
        else f"Up to {busiest:.1f} processes competed for the processors, the measured included."
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
        "## Measure it yourself\n\n`make bench` runs all cases, in about 20 minutes on a machine "
        "that does nothing else. The first run installs the other tools into `.bench/`. `make "
        f'bench ARGS="list-10k kill"` runs only the named cases. The cases are {names}. `make '
        "bench ARGS=--write` also writes this page. The calls are invented, and start on "
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
