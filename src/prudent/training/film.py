"""GIFs of a population while it trains."""

from collections.abc import Callable
from pathlib import Path

from prudent.engine.population import Population
from prudent.evaluation import video


class Film:
    """Records the first member at each evaluation. After a failure it records nothing more."""

    def __init__(self, population: Population, folder: Path, say: Callable[[str], None]):
        self._population, self._folder, self._say = population, folder, say
        self._possible = True

    def record(self, step: int, env: str) -> None:
        """Write ``videos/step_N.gif``, or say once why there is no picture."""
        if not self._possible:
            return
        reason = video.why_not(env)
        if reason is not None:
            self._say(f"no video: {reason}")
        path = self._folder / "videos" / f"step_{step}.gif"
        self._possible = reason is None and video.record(self._population, env, path) is not None
