"""Part ``passes``: the step as it is, with plain passes, and with fast passes but all products by ``torch.mm``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks import work
from benchmarks.harness import Measure, Result, Settings, clock_name, column, ratio, shown, take_turns, timed
from prudent.algorithms import cql
from prudent.nn import cpu, optim, products

Changes = tuple[tuple[object, str, object], ...]
WAYS: dict[str, Changes] = {
    "now": (),
    "mkl": ((products, "prefers_onednn", lambda: False),),
    "plain": ((cpu, "covers", lambda *_: False), (optim, "_fused_step", optim.plain_step)),
}
LABELS = {"now": "as it runs", "mkl": "all products by torch.mm", "plain": "plain passes"}


@contextmanager
def replaced(changes: Changes) -> Iterator[None]:
    """Replace attributes of modules inside a ``with`` block."""
    before = [getattr(module, name) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(changes, before, strict=True):
            setattr(module, name, value)


def within(changes: Changes, step: Callable[[], object]) -> Measure:
    """Measures ``step`` with ``changes`` applied."""
    measure = timed(step)

    def changed(calls: int) -> float:
        with replaced(changes):
            return measure(calls)

    return changed


def measure(settings: Settings) -> Result:
    """Measure both gradients in every way, in turn."""
    small = {"hidden": (64, 64), "n_actions": 2} if settings.small else {}
    measures = {name: timed(call) for name, call in work.six_products(cql.Config(**small)).items()}
    for gradient in ("exact", "sampled"):
        _, step = work.population(cql.Config(gradient=gradient, **small))
        measures |= {f"{gradient}_{way}": within(changes, step) for way, changes in WAYS.items()}
    turns = take_turns(measures, settings)
    ratios = {f"{name}_over_products": ratio(turns, name, "products") for name in measures if name != "products"}
    return Result(
        part="passes",
        what="the work item's step by how it is computed",
        clock=clock_name(),
        margin=0.1,
        ratios=ratios,
        figures={"ms": {name: column(turns, name) for name in measures}, "rounds": turns},
    )


def lines(result: Result) -> list[str]:
    """A line for each gradient and way."""
    return [
        f"  {gradient + ', ' + LABELS[way]:<36} {shown(result.figures['ms'][f'{gradient}_{way}'], '.1f'):>26} ms; "
        f"over products {shown(result.ratios[f'{gradient}_{way}_over_products'])}"
        for gradient in ("exact", "sampled")
        for way in WAYS
    ]
