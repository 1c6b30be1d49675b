"""How far off-policy estimates are from the truth, and how often their intervals hold it.

Problems with exact values (``benchmarks/known.py``): random tabular processes and linear-quadratic ones, five of each.
Recordings are truncated at random and the discount is 0.9, or (``long``) they are cut after 90 steps and it is 0.99.
Every dataset is a new log of one problem, every estimate is refitted on resamples.
Each finished dataset is an entry of the results, so an interrupted run continues where it stopped.

    python benchmarks/ope_proof.py [--datasets 200] [--kinds tabular long_quadratic abstention] [--minutes 5] [--draw]
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import known
from prudent import ope
from prudent.ope.interval import Estimate
from prudent.report import style

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "ope.json"
PICTURE = ROOT / "docs" / "images" / "ope.png"
PROBLEMS = 5
NAMES = {
    "fqe": "FQE",
    "wdr": "WDR",
    "pdwis": "PDWIS",
    "behaviour": "behaviour",
    "fqe_gain": "FQE - fitted behaviour",
    "wdr_gain": "WDR - behaviour",
}

TABULAR = ope.Settings(members=3, folds=2, hidden=(), lr=0.04, behaviour_steps=100)
QUADRATIC = ope.Settings(members=3, folds=2, steps=2_000, behaviour_steps=500)
LONG = {"discount": 0.99, "truncation": 1e-9, "longest": 90}
KINDS: dict[str, tuple[Callable[..., known.Known], int, ope.Settings]] = {
    "tabular": (lambda seed: known.tabular(seed, shift=0.4), 200, TABULAR),
    "quadratic": (known.quadratic, 150, QUADRATIC),
    "long_tabular": (lambda seed: known.tabular(seed, shift=1.0, termination=0.0, **LONG), 40, TABULAR),
    "long_quadratic": (lambda seed: known.quadratic(seed, **LONG), 40, QUADRATIC),
}


def errors(estimate: Estimate, truth: float) -> dict[str, Any] | None:
    """Relative error of one estimate, and whether its interval holds the truth."""
    if estimate.value is None or estimate.interval is None:
        return None
    return {
        "error": (estimate.value - truth) / abs(truth),
        "standard_error": (estimate.standard_error or 0.0) / abs(truth),
        "covers": estimate.interval[0] <= truth <= estimate.interval[1],
    }


def one(kind: str, index: int) -> dict[str, Any]:
    """All estimates of the target policy on dataset ``index``."""
    make, episodes, settings = KINDS[kind]
    problem = make(index % PROBLEMS)
    found = ope.evaluate_policy(problem.target, problem.log(episodes, 1000 + index), settings=settings, seed=index)
    gain = problem.target_value - problem.behaviour_value
    return {
        "kind": kind,
        "index": index,
        "effective": found.support.effective_sample_size,
        "outside": found.support.outside,
        **{e.name: errors(e, problem.target_value) for e in (found.fqe, found.wdr, found.pdwis)},
        "behaviour": errors(found.behaviour, problem.behaviour_value),
        **{f"{name}_gain": errors(found.improvement[name], gain) for name in ("fqe", "wdr")},
    }


def abstention(index: int) -> dict[str, Any]:
    """Whether each estimator abstains for a policy that leaves the data, and for one that stays within them."""
    problem = known.tabular(index, shift=0.4)
    data = problem.log(100, 2000 + index)
    settings = replace(TABULAR, n_bootstrap=0, steps=50, min_effective=10.0)
    bare = replace(data, extra={}, spec=replace(data.spec, action_size=4))
    share = (0.2, 0.5, 0.8)[index % 3]

    def mixed(observation: np.ndarray, _: np.ndarray | None) -> np.ndarray:
        own = problem.behaviour.probability(observation, None)  # pyright: ignore[reportAttributeAccessIssue]
        return np.concatenate([(1 - share) * own, np.full((len(own), 1), share)], axis=1)

    leaving = ope.evaluate_policy(
        ope.DiscretePolicy(bare.spec, mixed, "leaving", problem.discount), bare, settings=settings
    )
    staying = ope.evaluate_policy(problem.target, data, settings=settings)
    silent = {f"leaving_{name}": not getattr(leaving, name).supported for name in ("fqe", "wdr", "pdwis")}
    alarms = {f"staying_{name}": not getattr(staying, name).supported for name in ("fqe", "wdr", "pdwis")}
    return {"kind": "abstention", "index": index, "share": share, **silent, **alarms}


# --- results ----------------------------------------------------------------------------------------------------------


def read() -> list[dict[str, Any]]:
    """The finished datasets."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))["datasets"] if RESULTS.is_file() else []


def figures(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Bias, root mean square error and coverage over datasets, with the standard errors of bias and coverage."""
    found = [row[name] for row in rows if row[name] is not None]
    if not found:
        return {"datasets": 0, "abstained": len(rows)}
    error = np.array([f["error"] for f in found])
    cover = float(np.mean([f["covers"] for f in found]))
    return {
        "datasets": len(found),
        "abstained": len(rows) - len(found),
        "bias": float(error.mean()),
        "bias_error": float(error.std(ddof=1) / len(error) ** 0.5) if len(error) > 1 else None,
        "rmse": float((error**2).mean() ** 0.5),
        "standard_error": float(np.mean([f["standard_error"] for f in found])),
        "coverage": cover,
        "coverage_error": (cover * (1 - cover) / len(found)) ** 0.5,
    }


def write(rows: list[dict[str, Any]]) -> None:
    """Write the results with their summary, sorted by kind and index."""
    rows = sorted(rows, key=lambda row: (row["kind"], row["index"]))
    summary = {
        kind: {name: figures(own, name) for name in NAMES}
        for kind in KINDS
        if (own := [row for row in rows if row["kind"] == kind])
    }
    silent = [row for row in rows if row["kind"] == "abstention"]
    for share in sorted({row["share"] for row in silent}):
        own = [row for row in silent if row["share"] == share]
        keys = [key for key in own[0] if key.startswith(("leaving", "staying"))]
        summary.setdefault("abstention", {})[f"{share:g}"] = {
            "problems": len(own),
            **{key: float(np.mean([row[key] for row in own])) for key in keys},
        }
    RESULTS.write_text(json.dumps({"summary": summary, "datasets": rows}, indent=1) + "\n", encoding="utf-8")


def draw(summary: dict[str, Any]) -> None:
    """Draw the relative error and the coverage of each estimator, one panel each."""
    kinds = [kind for kind in KINDS if kind in summary]
    canvas = style.new_figure(9, 3.6)
    left, right = canvas.subplots(1, 2)
    for k, kind in enumerate(kinds):
        for y, name in enumerate(NAMES):
            own, place = summary[kind][name], len(NAMES) - 1 - y + 0.16 * (1 - 2 * k)
            if not own["datasets"]:
                continue
            colour, label = style.PALETTE[k], kind if y == 0 else None
            left.errorbar(100 * own["bias"], place, xerr=100 * own["rmse"], fmt="o", color=colour, label=label)
            right.errorbar(100 * own["coverage"], place, xerr=196 * own["coverage_error"], fmt="o", color=colour)
    left.axvline(0, color=style.INK, linewidth=0.8)
    right.axvspan(90, 99, color=style.GRID)
    for axes, title in ((left, "Bias and root mean square error, %"), (right, "Truth within the 95 % interval, %")):
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=style.INK)
        axes.set_yticks(range(len(NAMES)), list(NAMES.values())[::-1])
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(colors=style.QUIET, length=0)
    # Below both panels: inside, the legend would always cover an interval.
    handles, labels = left.get_legend_handles_labels()
    canvas.legend(handles, labels, frameon=False, fontsize=9, loc="lower center", ncols=len(kinds))
    canvas.tight_layout(rect=(0, 0.07, 1, 1))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(PICTURE, dpi=110)


def main(arguments: list[str] | None = None) -> None:
    """Run the datasets that are missing, then draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--datasets", type=int, default=200, help="datasets of each kind (at most 30 problems of abstention)"
    )
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS, "abstention"], default=[*KINDS, "abstention"])
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after this time; run again to continue"
    )
    parser.add_argument("--draw", action="store_true", help="only draw the results so far")
    options = parser.parse_args(arguments)
    rows, began = read(), time.monotonic()
    done = {(row["kind"], row["index"]) for row in rows}
    wanted = [
        (kind, index)
        for kind in options.kinds
        for index in range(min(options.datasets, 30) if kind == "abstention" else options.datasets)
    ]
    for kind, index in () if options.draw else wanted:
        if time.monotonic() - began > 60 * options.minutes:
            break
        if (kind, index) not in done:
            rows.append(abstention(index) if kind == "abstention" else one(kind, index))
            write(rows)
    write(rows)
    summary = json.loads(RESULTS.read_text(encoding="utf-8"))["summary"]
    draw(summary)
    for kind, own in summary.items():
        for name, numbers in own.items():
            shown = {k: round(v, 3) if isinstance(v, float) else v for k, v in numbers.items()}
            print(kind, name, " ".join(f"{k}={v}" for k, v in shown.items()))


if __name__ == "__main__":
    main()
