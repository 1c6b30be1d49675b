"""Part ``step``: a full CQL step, compared with d3rlpy's, with one in CORL's style, and with its matrix products.

The library's steps and the products run in this process, the others in processes of their own, one at a time.
"""

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import work
from benchmarks.harness import (
    Measure,
    Result,
    Settings,
    clock_name,
    column,
    ratio,
    shown,
    spread,
    take_turns,
    timed,
)
from benchmarks.peers.client import Peer, save_columns
from prudent.algorithms import cql

LABELS = {
    "products": "six matrix products, torch.mm",
    "floor": "six matrix products, faster library",
    "exact": "prudent, exact gradient",
    "sampled": "prudent, sampled gradient",
    "d3rlpy": "d3rlpy 2.8.1",
    "corl": "CORL-style",
}
THEIRS = ("d3rlpy", "corl")


def measure(settings: Settings) -> Result:
    """Measure all steps in turn."""
    small = {"hidden": (64, 64), "n_actions": 2} if settings.small else {}
    configs = {gradient: cql.Config(gradient=gradient, **small) for gradient in ("exact", "sampled")}
    exact = configs["exact"]
    measures: dict[str, Measure] = {name: timed(call) for name, call in work.six_products(exact).items()}
    measures |= {name: timed(work.population(config)[1]) for name, config in configs.items()}
    options = {"hidden": exact.hidden, "batch": exact.batch_size, "n_actions": exact.n_actions}
    versions: dict[str, Any] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        data = save_columns(folder, work.columns())
        pythons = {"corl": None, **({} if settings.peers is None else {"d3rlpy": settings.peers})}
        for name, python in pythons.items():
            peer = stack.enter_context(Peer(name, data, torch.get_num_threads(), python, options=options))
            measures[name], versions[name] = peer.measure, peer.versions
        # For wall time, many short turns: some of them fall between the other work of the machine.
        several = settings if clock_name() != "wall" else replace(settings, rounds=3 * settings.rounds, calls=1)
        turns = take_turns(measures, several)
    ours, theirs = ("exact", "sampled"), [name for name in THEIRS if name in measures]
    pairs = [(name, over) for name in ours for over in ("products", "floor", *theirs)]
    rate = spread([work.product_flops(exact) / turn["products"] / 1e6 for turn in turns])
    fastest = spread([work.product_flops(exact) / turn["floor"] / 1e6 for turn in turns])
    return Result(
        part="step",
        what=f"S {work.OBSERVATION} A {work.ACTION} B {exact.batch_size} N {exact.n_actions} E {exact.n_critics} "
        f"{'x'.join(map(str, exact.hidden))}, float32",
        clock=clock_name(),
        margin=0.1 if clock_name() == "process" else 0.25,
        ratios={f"{name}_over_{over}": ratio(turns, name, over) for name, over in pairs},
        figures={
            "ms": {name: column(turns, name) for name in measures},
            "over_products": {name: ratio(turns, name, "products") for name in measures},
            "times_faster": {f"{name}_than_{over}": ratio(turns, over, name) for name in ours for over in theirs},
            "best_times_faster": {
                f"{name}_than_{over}": min(turn[over] for turn in turns) / min(turn[name] for turn in turns)
                for name in ours
                for over in theirs
            },
            "gflops": {"products": rate, "floor": fastest},
            "calls": several.calls,
            "versions": versions,
            "rounds": turns,
        },
    )


def lines(result: Result) -> list[str]:
    """A line for each step, then the comparisons."""
    found = result.figures
    told = [
        f"  {LABELS[name]:<36} {shown(ms, '.1f'):>26} ms; over products {shown(found['over_products'][name])}"
        for name, ms in found["ms"].items()
    ]
    told += [
        f"  {pair.replace('_', ' ').replace(' than ', ' is faster than ')} by {shown(times)}; "
        f"best turn over best turn {found['best_times_faster'][pair]:.2f}"
        for pair, times in found["times_faster"].items()
    ]
    rates = found["gflops"]
    return [*told, f"  GFLOP/s: torch.mm {shown(rates['products'], '.0f')}, floor {shown(rates['floor'], '.0f')}"]
