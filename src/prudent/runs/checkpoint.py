"""Checkpoints: saving and loading a population. A checkpoint is written completely or not at all.

A checkpoint is a folder ``checkpoints/step_N/`` with ``state.safetensors`` (every tensor), ``checkpoint.json`` (their
meaning) and ``manifest.json`` (SHA-256 of both). It is written aside, flushed to disk and renamed. A reader takes the
newest one whose manifest verifies: safetensors alone would load a flipped bit without an error.
"""

import hashlib
import json
import platform
import shutil
from collections.abc import Callable, Collection
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from prudent import algorithms, files
from prudent.config import from_json, to_json
from prudent.data.columns import MOST_ACTIONS
from prudent.data.encoding import Encoding
from prudent.engine.members import Member
from prudent.engine.population import MODE, SAMPLE, Population
from prudent.engine.scaling import Scaling
from prudent.errors import PrudentError
from prudent.runs import tuned
from prudent.runs.foreign import parse_json, read_bytes
from prudent.types import Spec
from prudent.version import __version__

STATE, DESCRIPTION, MANIFEST = "state.safetensors", "checkpoint.json", "manifest.json"
REPLACED = ".replaced"
CODE = "code"
"""The folder of a run with a copy of its algorithm's file, where that is not the library's."""


def save(
    run: Path, population: Population, extra: dict[str, Tensor], keep: int, keep_also: Collection[int] = ()
) -> Path:
    """Write ``run/checkpoints/step_N`` for the population's current step, and return that folder.

    ``extra`` are further tensors to save. Afterwards only the ``keep`` newest checkpoints stay, and those of the steps
    in ``keep_also``.
    """
    step = population.state.step
    files_by_name = contents(population, extra)
    manifest = {
        "step": step,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files_by_name.items()},
    }
    files_by_name[MANIFEST] = json.dumps(manifest, indent=1).encode()
    folder = run / "checkpoints" / f"step_{step}"
    _commit(folder, files_by_name)
    _prune(run, keep, {step, *keep_also})
    return folder


def contents(population: Population, extra: dict[str, Tensor]) -> dict[str, bytes]:
    """The files of a checkpoint by name, without the manifest."""
    tensors = {f"population.{name}": t for name, t in population.tensors().items()}
    tensors |= {f"scaling.{name}": t for name, t in population.scaling.tensors().items()}
    tensors |= {f"extra.{name}": t for name, t in extra.items()}
    own = algorithms.code_of(population.algorithm)
    description = {
        "prudent": __version__,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "step": population.state.step,
        "algorithm": population.algorithm_name,
        **({} if own is None else {"code": own.described()}),
        "members": [{"name": m.name, "seed": m.seed, "config": to_json(m.config)} for m in population.members],
        "spec": vars(population.spec),
        "acting": population.acting,
        **({} if population.scaling.encoding is None else {"encoding": population.scaling.encoding.to_json()}),
    }
    return {
        STATE: save_tensors({name: t.detach().cpu().contiguous() for name, t in tensors.items()}),
        DESCRIPTION: json.dumps(description, indent=1).encode(),
    }


def save_only(path: Path, population: Population) -> Path:
    """:func:`save`, then remove all other checkpoints, later ones too."""
    others = [folder for _, folder in steps(path)]
    saved = save(path, population, {}, keep=len(others) + 1)
    for folder in others:
        if folder != saved:
            shutil.rmtree(folder)
    keep_code(path, population)
    return saved


def keep_code(folder: Path, population: Population) -> None:
    """Copy the file of an algorithm from outside the library to ``code/``, to be read. It is never run from there."""
    own = algorithms.code_of(population.algorithm)
    if own is not None:
        files.make_folder(folder / CODE)
        files.replace(folder / CODE / own.source.path.name, own.source.content)


def _commit(folder: Path, files_by_name: dict[str, bytes]) -> None:
    aside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        files.make_folder(folder.parent)
        aside.mkdir()
        for name, content in files_by_name.items():
            files.write(aside / name, content)
        files.sync_folder(aside)
    except OSError:
        # Free the space: the disk may be full.
        shutil.rmtree(aside, ignore_errors=True)
        raise
    # A folder cannot be replaced in one rename. Between the two renames the old one is found under its second name.
    replaced = folder.with_name(folder.name + REPLACED)
    if folder.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        folder.rename(replaced)
    aside.rename(folder)
    files.sync_folder(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _prune(run: Path, keep: int, protected: set[int]) -> None:
    """Remove old checkpoints. This runs after a commit, so what it removes is never the only checkpoint."""
    for step, folder in steps(run)[:-keep]:
        if step not in protected:
            shutil.rmtree(folder)
    for leftover in (run / "checkpoints").glob(".step_*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)


def steps(run: Path) -> list[tuple[int, Path]]:
    """The checkpoint folders of a run as (step, folder), oldest first; reading verifies them."""
    folders = []
    for folder in (run / "checkpoints").glob("step_*"):
        number = folder.name.removeprefix("step_").removesuffix(REPLACED)
        if folder.is_dir() and number.isdecimal():
            folders.append((int(number), not folder.name.endswith(REPLACED), folder))
    return [(step, folder) for step, _, folder in sorted(folders)]


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the description of one checkpoint, verified.

    Raises:
        PrudentError: a file is missing, or its content is not what was saved.
    """
    try:
        for name in (MANIFEST, STATE, DESCRIPTION):
            # A link to a device such as /dev/zero would never end.
            if (folder / name).exists() and not (folder / name).is_file():
                raise PrudentError(f"{folder / name}: no regular file")
        manifest = parse_json(read_bytes(folder / MANIFEST))
        contents = {name: (folder / name).read_bytes() for name in (STATE, DESCRIPTION)}
        for name, content in contents.items():
            if hashlib.sha256(content).hexdigest() != manifest["sha256"][name]:
                raise PrudentError(f"{folder / name}: the content is not what was saved (checksum)")
        return load_tensors(contents[STATE]), parse_json(contents[DESCRIPTION])
    except PrudentError:
        raise
    except PermissionError as error:
        raise PrudentError(f"{folder}: cannot be read ({error.strerror})") from error
    except (OSError, KeyError, TypeError, ValueError, RecursionError, SafetensorError) as error:
        raise PrudentError(f"{folder}: not a complete checkpoint ({type(error).__name__})") from error


def digest(folder: Path) -> str:
    """The SHA-256 of a checkpoint's tensors, as its manifest has it.

    Raises:
        PrudentError: ``folder`` holds no checkpoint, or its manifest is damaged.
    """
    try:
        return str(parse_json(read_bytes(folder / MANIFEST))["sha256"][STATE])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise PrudentError(f"{folder}: not a complete checkpoint ({type(error).__name__})") from error


def newest(path: Path) -> tuple[Path, dict[str, Tensor], dict[str, Any], list[str]]:
    """The newest checkpoint that verifies: folder, tensors, description, and why newer ones were skipped.

    ``path`` is a run folder or a single checkpoint.

    Raises:
        PrudentError: there is none.
    """
    if (path / MANIFEST).exists():
        return path, *read(path), []
    skipped: list[str] = []
    for step, folder in reversed(steps(path)):
        try:
            tensors, description = read(folder)
        except PrudentError as error:
            skipped.append(str(error))
            continue
        if not _is_renamed(description, step):
            return folder, tensors, description, skipped
        skipped.append(f"{folder}: holds the checkpoint of step {description['step']}: rename it back")
    detail = f" ({'; '.join(skipped)})" if skipped else ""
    raise PrudentError(f"{path}: no checkpoint here to load{detail}")


def _is_renamed(description: Any, step: int) -> bool:
    """Whether a checkpoint says that it is of another step than its folder's name says."""
    stored = description.get("step") if isinstance(description, dict) else None
    return type(stored) is int and stored >= 0 and stored != step


def load(
    path: Path | str, device: str = "cpu", say: Callable[[str], None] | None = None
) -> tuple[Population, dict[str, Tensor]]:
    """The population of a run folder, a tuned folder or a checkpoint, and the extra tensors saved with it.

    ``say`` is called with a line for each newer checkpoint that does not verify and was skipped.

    Raises:
        PrudentError: there is no checkpoint that verifies, or it does not describe a population; or a tuned folder
            holds no policy.
    """
    path = Path(path)
    folder, tensors, description, skipped = newest(tuned.policy_of(path) if tuned.is_tuned(path) else path)
    try:
        population = described(tensors, description, device)
    except PrudentError as error:
        raise PrudentError(f"{folder}: {error}") from error
    if say is not None:
        for reason in skipped:
            say(f"skipped a checkpoint: {reason}")
    return population, _part(tensors, "extra.")


def described(tensors: dict[str, Tensor], description: dict[str, Any], device: str) -> Population:
    """The population that the contents of a checkpoint describe.

    Raises:
        PrudentError: they do not describe one.
    """
    try:
        algorithm = algorithms.stored(description["algorithm"])
        algorithms.check_code(algorithm, description.get("code"), "it")
        config_type = algorithms.get(algorithm).Config
        configs = [algorithms.stored_settings(algorithm, m["config"]) for m in description["members"]]
        members = [
            Member(m["name"], m["seed"], from_json(config_type, config))
            for m, config in zip(description["members"], configs, strict=True)
        ]
        spec = from_json(Spec, description["spec"])
        _check_sizes(members, spec, sum(t.numel() for t in tensors.values()))
        acting = description.get("acting", MODE)
        if acting not in (MODE, SAMPLE):
            raise PrudentError(f"acting cannot be {acting!r}")
        others: dict[str, Any] = {"outside_range": getattr(members[0].config, "outside_range", "clip")}
        if "encoding" in description:
            others["encoding"] = Encoding.from_json(description["encoding"], spec)
        scaling = Scaling(**_part(tensors, "scaling."), first_action=spec.first_action, **others)
        population = Population(algorithm, members, spec, scaling, device, acting=acting)
        stored = _part(tensors, "population.")
        algorithms.check_stored(algorithm, stored)
        population.restore(stored, _step(description))
    except PrudentError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise PrudentError(f"the description does not fit this version of prudent ({error})") from error
    return population


def _check_sizes(members: list[Member], spec: Spec, stored: int) -> None:
    """Refuse a description of networks larger than everything that is stored, before they are created.

    Raises:
        PrudentError: the networks are larger.
    """
    config: Any = members[0].config
    inputs, hidden = spec.observation_size, config.hidden
    outputs = spec.action_size * getattr(config, "n_quantiles", 1)
    if min(inputs, outputs) < 1:
        raise PrudentError(f"observations of {inputs} and actions of {spec.action_size} features cannot be")
    if abs(spec.first_action) > MOST_ACTIONS or (spec.first_action and not spec.discrete):
        raise PrudentError(f"first_action cannot be {spec.first_action}")
    critics = getattr(config, "n_critics", 1) * len(members)
    if hasattr(config, "n_critics") and not spec.discrete:
        inputs += spec.action_size
    inner = [critics * a * b for a, b in pairwise((inputs, *hidden))]
    if max(*inner, len(members) * hidden[-1] * outputs) > stored:
        raise PrudentError(f"networks of {hidden} are declared, but only {stored} numbers are stored")


def _step(description: dict[str, Any]) -> int:
    step = description["step"]
    if type(step) is not int or step < 0:
        raise PrudentError(f"step cannot be {step!r}")
    return step


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
