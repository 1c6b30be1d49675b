"""Minari datasets, written by the ``minari`` package."""

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from prudent.data.dataset import Dataset
from prudent.data.readers._names import ENCODING
from prudent.data.readers.minari import DROPPED, ID, datasets_folder
from prudent.environments.make import make, spaces
from prudent.errors import DataError, in_one_line
from prudent.progress import watched


def check_target(identifier: str) -> None:
    """Refuse an id that Minari does not know, a dataset that exists, and a machine without Minari.

    Raises:
        DataError: one line that says which.
    """
    if not ID.fullmatch(identifier):
        raise DataError(f"minari:{identifier}: not a Minari id, such as minari:mine/hopper/medium-v0")
    folder = datasets_folder() / identifier
    if os.path.lexists(folder):
        raise DataError(f"minari:{identifier} exists in {datasets_folder()}: choose another name or version")
    try:
        import minari  # noqa: F401 - only whether it is there
        from minari.dataset.minari_dataset import parse_dataset_id
    except ImportError as error:
        raise DataError(f'{identifier}: Minari is not installed, try: pip install "prudent[minari]"') from error
    try:
        parse_dataset_id(identifier)
    except ValueError as error:
        # Such as one of a single letter: Minari's rules are narrower than what it can read.
        raise DataError(f"minari:{identifier}: no id for Minari ({in_one_line(error)})") from error


def write(dataset: Dataset, identifier: str, about: Mapping[str, Any], env_id: str | None = None) -> None:
    """Write a dataset under Minari's own folder (``MINARI_DATASETS_PATH``).

    ``about`` becomes the description, as JSON. With ``env_id`` Minari can make the environment again, and the
    ``reference`` of ``about``, the returns of a random policy and of an expert, becomes Minari's reference scores.
    Masks of discrete actions become ``action_mask`` of the infos, T + 1 rows per episode, as for observations.

    Raises:
        DataError: see :func:`check_target`, or a next observation or next mask is not that of the next row of the
            episode: Minari cannot hold it.
    """
    check_target(identifier)
    import minari
    from minari.data_collector import EpisodeBuffer

    numbers = watched(range(dataset.n_episodes), f"writing {identifier}", "episodes")
    episodes = [_episode(dataset, index) for index in numbers]
    buffers = [EpisodeBuffer(id=index, **parts) for index, parts in enumerate(episodes)]
    observation_space, action_space = spaces(dataset.spec)
    env = None if env_id is None else make(env_id)
    named = env is not None and _can_be_named(env)
    try:
        # Minari warns about everything that is left out, such as links and authors; users may add them.
        with _aside(identifier), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            minari.create_dataset_from_buffers(
                dataset_id=identifier,
                buffer=buffers,
                env=env if named else None,
                algorithm_name=str(about.get("policy", "unknown")),
                description=json.dumps({**about, **_noted(dataset)}),
                observation_space=observation_space,
                action_space=action_space,
                **(_scores(about) if named else {}),
            )
    finally:
        if env is not None:
            env.close()


def _noted(dataset: Dataset) -> dict[str, Any]:
    """For the description: what was lost with rows that could not be kept, and what the columns are called."""
    return {
        **({} if dataset.dropped is None else {DROPPED: dataset.dropped.numbers()}),
        **({} if dataset.meanings.encoding is None else {ENCODING: dataset.meanings.encoding.to_json()}),
    }


def _scores(about: Mapping[str, Any]) -> dict[str, Any]:
    """The returns of a random policy and of an expert, from which Minari normalises scores; empty if not known.

    Minari takes them beside an environment only.
    """
    reference = about.get("reference")
    if not isinstance(reference, list | tuple) or len(reference) != 2:
        return {}
    return {"ref_min_score": float(reference[0]), "ref_max_score": float(reference[1])}


def _can_be_named(env: Any) -> bool:
    """Whether a file can say how to make the environment; not if a class was registered instead of its name."""
    try:
        env.spec.to_json()
    except ValueError:
        return False
    return True


def _episode(dataset: Dataset, index: int) -> dict[str, Any]:
    rows = slice(*(int(bound) for bound in dataset.episode_bounds[index : index + 2]))
    observation, following = dataset.observation[rows], dataset.next_observation[rows]
    if not np.array_equal(observation[1:], following[:-1]):
        raise DataError(
            f"{dataset.name}: in episode {index} a next observation is not the next row, Minari needs it so"
        )
    parts: dict[str, Any] = {
        "observations": np.concatenate([observation, following[-1:]]),
        "actions": dataset.action[rows],
        "rewards": dataset.reward[rows],
        "terminations": dataset.terminated[rows],
        "truncations": dataset.truncated[rows],
    }
    if "mask" in dataset.extra:
        mask, next_mask = dataset.extra["mask"][rows], dataset.extra["next_mask"][rows]
        if not np.array_equal(mask[1:], next_mask[:-1]):
            raise DataError(f"{dataset.name}: in episode {index} a next mask is not the next row's, Minari needs it so")
        parts["infos"] = {"action_mask": np.concatenate([mask, next_mask[-1:]])}
    return parts


@contextmanager
def _aside(identifier: str) -> Iterator[None]:
    """Let Minari write into a temporary folder, and move the dataset to its place when it is complete."""
    root = datasets_folder()
    root.mkdir(parents=True, exist_ok=True)
    before = os.environ.get("MINARI_DATASETS_PATH")
    aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=root))
    os.environ["MINARI_DATASETS_PATH"] = str(aside)
    try:
        yield
        for path in sorted(aside.rglob("namespace_metadata.json")):
            place = root / path.relative_to(aside)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                path.rename(place)
        (root / identifier).parent.mkdir(parents=True, exist_ok=True)
        (aside / identifier).rename(root / identifier)
    finally:
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before
        shutil.rmtree(aside, ignore_errors=True)
