"""Fill the generated parts of README.md and docs/*.md from the code, so that they cannot drift from it (``make docs``).

A part stands between ``<!-- generated: KIND ARGUMENTS -->`` and ``<!-- end -->``. Kinds:

    config NAME                      the settings of an algorithm: field, default, whether members may differ, meaning
    options                          how to train: the same for loop.Options
    fields MODULE.CLASS              the same for any dataclass of settings
    presets                          each preset and where it differs from the defaults
    preset_sources                   where each preset comes from, out of docs/preset_sources.toml
    preset_settings                  each setting of each preset beside its source's
    rebrac_penalties                 ReBRAC's penalties by dataset, out of docs/preset_sources.toml
    algorithms                       every algorithm, with the first line of its file
    metrics                          names and meanings
    usage                            what ``prudent --help`` says
    budgets                          what prudent tune takes from the number of rows
    suites                           what each suite that comes with prudent trains
    suite NAME                       the results of a suite, out of docs/bench/NAME.json
    bound                            predictions of CQL and SAC in all of these
    rooms                            the packages and modules of the source, a line each
    proof WHAT                       what was measured of the off-policy estimators, out of benchmarks/results/ope.json
    practice WHAT                    what came of prudent tune on problems with a known truth: truths, summary or runs
    returns                          return over minutes of training, out of benchmarks/results/returns.json
    open_bandit                      Open Bandit policies valued, out of benchmarks/results/open_bandit.json
    logs                             the logs of make logs, out of benchmarks/results/logs.json
    exported                         start-up, memory and speed of an export, out of benchmarks/results/export.json
    faults                           what came of the faults, out of docs/bench/faults.json
    template                         what prudent new algorithm writes
    source MODULE.FUNCTION [| TEXT]  a function's source, up to the line that begins with TEXT

tests/test_docs.py fails while a part differs from what this writes.
"""

import importlib
import importlib.util
import inspect
import json
import re
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
OPE = ("fqe", "wdr", "pdwis")
PART = re.compile(r"(<!-- generated: (\w+)([^\n]*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *escaped]) + "\n"


def shown(value: Any) -> str:
    """A default, as it is typed."""
    if isinstance(value, tuple):
        return f"`{' '.join(f'{v:g}' if isinstance(v, float) else str(v) for v in value)}`"
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def flags(config_type: type, several: bool) -> str:
    """A row per field: the comment beside it is its meaning."""
    from prudent.config import field_comments, group_fields, member_fields

    comments = field_comments(config_type)
    marks = dict.fromkeys(member_fields(config_type), "X") | dict.fromkeys(group_fields(config_type), "G")
    head = ["setting", "default", *(["list"] if several else []), "meaning"]
    rows = [
        [f"`{f.name}`", shown(f.default), *([marks.get(f.name, "")] if several else []), comments[f.name]]
        for f in fields(config_type)
    ]
    return table(head, rows)


def config(argument: str) -> str:
    """The settings of one algorithm."""
    from prudent import algorithms

    return flags(algorithms.get(argument).Config, several=True)


def extends(argument: str) -> str:
    """The settings in which an algorithm differs from the one it extends."""
    from prudent import algorithms
    from prudent.config import field_comments

    own, plain = (algorithms.get(name).Config for name in argument.split())
    defaults = {f.name: f.default for f in fields(plain)}
    changed = [f for f in fields(own) if defaults.get(f.name, f) != f.default]
    comments = field_comments(own)
    return table(
        ["setting", "default", "meaning"], [[f"`{f.name}`", shown(f.default), comments[f.name]] for f in changed]
    )


def options(_: str) -> str:
    """The settings of the training loop."""
    from prudent.engine.options import Options

    return flags(Options, several=False)


def settings_of(argument: str) -> str:
    """The settings of a dataclass."""
    module, _, name = argument.rpartition(".")
    return flags(getattr(importlib.import_module(module), name), several=False)


def presets(_: str) -> str:
    """Where each preset differs from the algorithm's defaults."""
    from prudent.presets import PRESETS

    rows = []
    for name, make in PRESETS.items():
        preset = make()
        default = type(preset.config)()
        changed = [
            f"{f.name} {shown(getattr(preset.config, f.name))}"
            for f in fields(default)
            if getattr(preset.config, f.name) != getattr(default, f.name)
        ]
        changed += [f"{preset.eval_episodes} evaluation episodes"] if preset.eval_episodes != 10 else []
        rows.append([f"`{name}`", preset.algorithm, ", ".join(changed) or "the defaults"])
    return table(["preset", "algorithm", "differs from the defaults in"], rows)


def published() -> dict[str, Any]:
    """What the sources of the presets have."""
    return tomllib.loads((ROOT / "docs" / "preset_sources.toml").read_text(encoding="utf-8"))


def preset_sources(_: str) -> str:
    """The source of each preset, and what differs from it that is no setting."""
    from prudent.presets import PRESETS

    sources = published()
    rows = [[f"`{name}`", sources[name]["source"], sources[name]["also"]] for name in PRESETS]
    return table(["preset", "source", "what is no setting"], rows)


def preset_settings(_: str) -> str:
    """Each setting of each preset: here, in its source, and why they differ if they do."""
    from prudent.presets import PRESETS

    sources, rows = published(), []
    for name, make in PRESETS.items():
        preset, own = make(), sources[name]
        theirs_by_name = sources["shared"][preset.algorithm] | own["settings"]
        for f in fields(preset.config):
            if f.name in theirs_by_name:
                ours, theirs = shown(getattr(preset.config, f.name)), of_source(theirs_by_name[f.name])
                verdict = "equal" if ours == theirs else own["why"][f.name]
                rows.append([f"`{name}`", f"`{f.name}`", ours, theirs, verdict])
    return table(["preset", "setting", "here", "in the source", "equal, or why not"], rows)


def of_source(value: Any) -> str:
    """A value in preset_sources.toml as it would be shown if it were a setting; a choice of words is a value too."""
    if isinstance(value, str):
        return f"`{value}`" if value.isalpha() and value != "none" else value
    return shown(tuple(value) if isinstance(value, list) else value)


def rebrac_penalties(_: str) -> str:
    """Both penalties of ReBRAC for each dataset."""
    rows = [
        [f"`{name}`", shown(actor), shown(critics)]
        for name, (actor, critics) in published()["rebrac_penalties"].items()
    ]
    return table(["dataset", "`actor_penalty`", "`critic_penalty`"], rows)


def algorithms(_: str) -> str:
    """Every algorithm there is."""
    from prudent import algorithms as registry

    rows = []
    for name in registry.names():
        first, *_ = (inspect.getdoc(registry.get(name)) or "").split("\n\n")
        rows.append([f"`{name}`", " ".join(first.split())])
    return table(["name", "what it is"], rows)


def metrics(_: str) -> str:
    """The fixed metric names, from the table in prudent.runs.metrics."""
    from prudent.runs import metrics

    found = re.findall(r"^``(\S+/\S+)``\s+(.+?)\s*$", metrics.__doc__ or "", flags=re.MULTILINE)
    return table(["name", "meaning"], [[f"`{name}`", meaning] for name, meaning in found])


def usage(_: str) -> str:
    """What the command line says of itself."""
    from prudent.cli import USAGE

    return f"```text\n{USAGE}\n```\n"


def budgets(_: str) -> str:
    """The automatic budgets of ``prudent tune``."""
    from prudent.tuning.budget import BUDGETS

    names = ("steps", "rank_steps", "final_steps")
    own = list(BUDGETS[0].own)
    rows = []
    for budget in BUDGETS:
        limit = "more" if budget.rows == float("inf") else f"{budget.rows:,.0f}"
        settings = [shown(budget.own[name]) if name in budget.own else "own" for name in own]
        rows.append([limit, *(shown(getattr(budget, name)) for name in names), *settings])
    return table(["rows up to", *(f"`{name}`" for name in (*names, *own))], rows)


def suites(_: str) -> str:
    """Every suite that comes with prudent."""
    from prudent import bench

    rows = []
    for name in bench.shipped():
        found = bench.load(name)
        for data in found.datasets:
            cells = [cell for cell in found.cells if cell.data == data]
            algorithms = ", ".join(f"`{cell.algorithm}`" for cell in cells)
            steps = f"{cells[0].options.steps:,}"
            rows.append([f"`{name}`", f"`{data.name}` in {data.env}", algorithms, str(len(found.seeds)), steps])
    return table(["suite", "data", "algorithms", "seeds", "steps"], rows)


def suite(argument: str) -> str:
    """The results of a suite, as ``make suite`` left them."""
    from prudent.bench import results

    return results.markdown(json.loads((ROOT / "docs" / "bench" / f"{argument}.json").read_text(encoding="utf-8")))


def bound(_: str) -> str:
    """Whether the predictions of CQL and of SAC were lower bounds, on every dataset of every suite with both."""
    rows = []
    for path in sorted((ROOT / "docs" / "bench").glob("*.json")):
        for data in json.loads(path.read_text(encoding="utf-8")).get("datasets", ()):
            found = {row["algorithm"]: row for row in data["algorithms"]}
            if {"cql", "sac"} <= found.keys():
                rows += [_bound_row(data["name"], found[name]) for name in ("cql", "sac")]
    return table(["data", "", "steps", "predicted", "realised", "start states where it held"], rows)


def _bound_row(data: str, row: dict[str, Any]) -> list[str]:
    values = [f"{row[key]:.1f}" for key in ("predicted_value", "realized_value")]
    return [f"`{data}`", row["title"], f"{row['step']:,}", *values, f"{row['lower_bound_share']:.0%}"]


def faults(_: str) -> str:
    """What came of the faults, as ``make faults`` left it."""
    sys.path.insert(0, str(ROOT / "tests"))
    table_of = importlib.import_module("faults.table")
    sys.path.pop(0)
    return table_of.markdown(json.loads((ROOT / "docs" / "bench" / "faults.json").read_text(encoding="utf-8")))


def exported(_: str) -> str:
    """How fast an exported policy starts and acts, as ``python -m benchmarks.export`` left it."""
    sys.path.insert(0, str(ROOT))
    ways = importlib.import_module("benchmarks.export").WAYS
    sys.path.pop(0)
    stored = json.loads((ROOT / "benchmarks" / "results" / "export.json").read_text(encoding="utf-8"))
    rows = []
    for way, found in stored["figures"].items():
        cells = [f"{found['load_s']:.2f} s", f"{found['memory_mb']:.0f} MB", f"{found['median_us']:.0f} us"]
        rows.append([ways[way], *cells])
    about = stored["environment"]
    head = ["way of acting", "load", "memory", "a decision, median"]
    return (
        table(head, rows)
        + f"\n{about['processor']}, PyTorch {about['torch']}, on a machine with a load of {stored['load'][0]:g}.\n"
    )


def proof(argument: str) -> str:
    """What was measured of the off-policy estimators, as ``make trust`` left it: ``coverage``, ``error`` (a column for
    each kind of problem), or ``abstention``."""
    file = ROOT / "benchmarks" / "results" / "ope.json"
    summary = json.loads(file.read_text(encoding="utf-8"))["summary"]
    measured = summary.pop("abstention", {})
    if argument == "abstention":
        rows = [
            [f"{which}, {float(share):.0%}", str(own["problems"]), *(f"{own[f'{which}_{n}']:.0%}" for n in OPE)]
            for which in ("leaving", "staying")
            for share, own in measured.items()
        ]
        return table(["policy", "problems", *(f"`{n}` abstains" for n in OPE)], rows)
    cell = {"coverage": _coverage, "error": _error}[argument]
    names = dict.fromkeys(name for kind in summary.values() for name in kind)
    rows = [[f"`{name}`", *(cell(kind.get(name, {})) for kind in summary.values())] for name in names]
    return table(["estimator", *(kind.replace("_", ", ") for kind in summary)], rows)


def _coverage(measured: dict[str, Any]) -> str:
    """How often the interval held the truth, and in how many logs there was one."""
    if not measured.get("datasets"):
        return "no value"
    share, error = (100 * measured[key] for key in ("coverage", "coverage_error"))
    return f"{share:.1f} % (+- {error:.1f}) of {measured['datasets']}"


def _error(measured: dict[str, Any]) -> str:
    """Bias with its standard error, and root mean square error."""
    if not measured.get("datasets"):
        return "no value"
    bias, error, rmse = (100 * (measured[key] or 0) for key in ("bias", "bias_error", "rmse"))
    return f"{bias:+.1f} % (+- {error:.1f}), {rmse:.1f} %"


def open_bandit(_: str) -> str:
    """Each policy valued from the other's log, in clicks per thousand items shown."""
    lines = json.loads((ROOT / "benchmarks" / "results" / "open_bandit.json").read_text(encoding="utf-8"))

    def clicks(figure: dict[str, Any]) -> str:
        if figure["value"] is None:
            return "unsupported"
        low, high = (1000 * end for end in figure["ci95"])
        return f"{1000 * figure['value']:.1f} ({low:.1f} to {high:.1f})"

    rows = [
        [
            line["campaign"],
            line["policy"],
            line["log"],
            str(line["clicks"]),
            *(clicks(line["estimates"][key]) for key in ("wdr", "pdwis", "fqe")),
            clicks(line["own"]),
            f"{line['effective']:,.0f}",
            f"{100 * line['outside']:.0f} %",
        ]
        for line in lines
    ]
    head = ["campaign", "policy", "valued from", "clicks there"]
    head += ["doubly robust", "importance sampling", "direct method"]
    return table([*head, "its own log", "effective rows", "outside"], rows)


def practice(argument: str) -> str:
    """What came of tuning on the practice problems, as ``make practice`` left it."""
    sys.path.insert(0, str(ROOT))
    package, tables = (importlib.import_module(f"benchmarks.practice{name}") for name in ("", ".table"))
    sys.path.pop(0)
    truths, runs = tables.read(ROOT / "benchmarks" / "results" / "practice", package.NAMES)
    made = {"truths": (tables.truth_table, truths), "summary": (tables.summary_table, runs)}
    draw, rows = {**made, "runs": (tables.run_table, runs)}[argument]
    return table(*draw(rows))


def logs(_: str) -> str:
    """The logs that ``make logs`` made so far."""
    sys.path.insert(0, str(ROOT))
    tables = importlib.import_module("benchmarks.logs.table")
    sys.path.pop(0)
    rows = json.loads(tables.RESULTS.read_text(encoding="utf-8")) if tables.RESULTS.is_file() else []
    return table(*tables.table(rows)) if rows else "No log has been made with this recipe yet.\n"


def returns(_: str) -> str:
    """Every racer on every log at shares of the minutes, as ``python -m benchmarks.returns`` left it."""
    file = ROOT / "benchmarks" / "results" / "returns.json"
    if not file.exists():
        return "Not measured yet.\n"
    sys.path.insert(0, str(ROOT))
    tables = importlib.import_module("benchmarks.returns.table")
    sys.path.pop(0)
    return table(*tables.rows(json.loads(file.read_text(encoding="utf-8"))))


def source(argument: str) -> str:
    """A function as it stands in the file, or its beginning."""
    path, _, stop = (part.strip() for part in argument.partition("|"))
    module, _, name = path.rpartition(".")
    lines = inspect.getsource(getattr(importlib.import_module(module), name)).rstrip().splitlines()
    if stop:
        cut = next(i for i, line in enumerate(lines) if line.strip().startswith(stop))
        lines = [*lines[:cut], "    ..."]
    return "\n".join(["```python", *lines, "```", ""])


def template(_: str) -> str:
    """What ``prudent new algorithm`` writes."""
    path = ROOT / "src" / "prudent" / "testing" / "template.py"
    return f"```python\n{path.read_text(encoding='utf-8')}```\n"


def rooms(_: str) -> str:
    """The packages and modules of the source."""
    return house().rooms_table()


def house() -> Any:
    """The module beside this one that draws the map."""
    specification = importlib.util.spec_from_file_location("house", ROOT / "docs" / "house.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


KINDS: dict[str, Callable[[str], str]] = {
    "config": config,
    "extends": extends,
    "options": options,
    "practice": practice,
    "logs": logs,
    "returns": returns,
    "fields": settings_of,
    "presets": presets,
    "preset_sources": preset_sources,
    "preset_settings": preset_settings,
    "rebrac_penalties": rebrac_penalties,
    "algorithms": algorithms,
    "metrics": metrics,
    "usage": usage,
    "budgets": budgets,
    "suites": suites,
    "suite": suite,
    "bound": bound,
    "open_bandit": open_bandit,
    "exported": exported,
    "faults": faults,
    "proof": proof,
    "rooms": rooms,
    "template": template,
    "source": source,
}


def render(text: str) -> str:
    """The page with its generated parts made anew."""

    def part(found: re.Match[str]) -> str:
        begin, kind, argument, end = found.groups()
        return begin + KINDS[kind](argument.strip()) + end

    return PART.sub(part, text)


def main() -> None:
    """Rewrite the pages that are out of date."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fresh = render(text)
        if fresh != text:
            page.write_text(fresh, encoding="utf-8")
            print(f"renewed {page.relative_to(ROOT)}", file=sys.stderr)
    if house().draw():
        print("drew docs/images/house.svg", file=sys.stderr)


if __name__ == "__main__":
    main()
