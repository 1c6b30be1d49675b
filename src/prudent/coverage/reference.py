"""What is needed to compare single decisions with a log later, away from it: the logged decisions and the threshold."""

from typing import Any

import numpy as np

from prudent.coverage.neighbours import Neighbourhood
from prudent.coverage.support import sampled_rows, support
from prudent.data import Dataset
from prudent.engine.population import Population


def reference(population: Population, dataset: Dataset, **settings: Any) -> dict[str, Any]:
    """Arrays and figures for :class:`prudent.export.reference.Reference`, by the names of its attributes.

    ``population`` holds one policy. ``settings`` are those of :func:`prudent.coverage.support.support`. The threshold
    is that of the folds; there are as many logged decisions as each of them was compared with, from all episodes, since
    a new decision belongs to none.

    Raises:
        PrudentError: as in :func:`prudent.coverage.support.support`.
    """
    result = support(population, dataset, **settings)
    rows = sampled_rows(dataset, result.reference_rows, result.settings.seed)
    logged = dataset.spec.index_of(dataset.action[rows])
    return {
        **Neighbourhood(dataset.observation[rows], logged, result.settings.neighbours).arrays(),
        "neighbours": result.settings.neighbours,
        "level": result.settings.level,
        "threshold": float(np.float32(result.measures["decision"].threshold)),
        "share": result.overall["outside"],
        "interval": None if result.overall["interval"] is None else tuple(result.overall["interval"]),
    }
