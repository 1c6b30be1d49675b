"""A folder that keeps the training of SAC: an interrupted one goes on, and several datasets come from the same one.

The folder has

- ``training.json``: what was trained, and how
- ``checkpoints/``: the newest states, with the random states of everything that draws
- ``rows/``: all transitions, a file for each checkpoint
- ``policies/``: the policy of each evaluation that was better than all before it

Simulators cannot be stored. Their running episodes are repeated from their seeds, with the actions of the rows.
"""

import io
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prudent import files
from prudent.errors import ConfigError, PrudentError
from prudent.online.recording import TransitionLog
from prudent.online.sac_learner import Evaluated, SacLearner
from prudent.progress import watched
from prudent.runs import checkpoint
from prudent.runs.folder import read_json, write_json

ABOUT, ROWS, POLICIES = "training.json", "rows", "policies"


class KeptTraining:
    """The training of ``learner`` in ``folder``: goes on from there if there is one, and is saved there from now on.

    Raises:
        ConfigError: the folder holds something else, another training, or a longer one.
        PrudentError: a file is damaged, or the environment does not repeat itself.
    """

    def __init__(self, folder: Path, learner: SacLearner, log: TransitionLog):
        self.folder, self.learner, self.log = folder, learner, log
        self.saved_steps = 0
        if _check(folder, learner):
            if (folder / "checkpoints").is_dir():
                self._restore()
        else:
            write_json(folder / ABOUT, identity(learner))
        learner.save = self.save

    def save(self) -> None:
        """Save everything that was learned and seen since the last time."""
        learner, log = self.learner, self.log
        if log.steps > self.saved_steps:
            buffer = io.BytesIO()
            np.savez(buffer, **log.part(self.saved_steps))  # pyright: ignore[reportArgumentType]
            rows = files.make_folder(self.folder / ROWS)
            files.replace(rows / f"{self.saved_steps:09}.npz", buffer.getvalue())
        stored = {updates for updates, _ in checkpoint.steps(self.folder / POLICIES)}
        for updates in sorted(learner.policies.keys() - stored):
            checkpoint.save(self.folder / POLICIES, learner.policies[updates], {}, keep=len(learner.policies))
        curve = [(e.steps, e.updates, e.mean_return) for e in learner.curve]
        extra = {
            "steps": torch.tensor(log.steps),
            "curve": torch.tensor(curve, dtype=torch.float64).reshape(-1, 3),
            "random": learner.random.rng.state(),
            "explorer": learner.explorer.rng.state(),
            **learner.interaction.state(),
        }
        checkpoint.save(self.folder, learner.population, extra, keep=2)
        self.saved_steps = log.steps

    def _restore(self) -> None:
        learner, log = self.learner, self.log
        population, extra = checkpoint.load(self.folder, say=print)
        steps = int(extra["steps"])
        if steps > log.capacity:
            raise ConfigError(
                f"{self.folder} holds a training of {steps * learner.envs} steps: give --sac-steps "
                f"{steps * learner.envs} or more, or another folder"
            )
        learner.population.restore(population.tensors(), population.state.step)
        learner.random.rng.restore(extra["random"])
        learner.explorer.rng.restore(extra["explorer"])
        learner.curve = [Evaluated(int(s), int(u), float(r)) for s, u, r in extra["curve"].tolist()]
        better = learner.improvements()
        for updates, folder in checkpoint.steps(self.folder / POLICIES):
            if updates in better:
                learner.policies[updates], _ = checkpoint.load(folder)
        if missing := better - learner.policies.keys():
            raise PrudentError(f"{self.folder / POLICIES}: the policy of gradient step {min(missing)} is missing")
        self._restore_rows(steps)
        last = [log.running(index) for index in range(learner.envs)]
        found = learner.interaction.rejoin(extra, [lane["action"] for lane in last])
        for lane, observation in zip(last, found, strict=True):
            if len(lane["reward"]) and not np.array_equal(lane["next_observation"][-1], observation):
                raise PrudentError(
                    f"{learner.env_id} does not repeat itself from its seed, so the training in {self.folder} cannot "
                    "go on: remove the folder and start anew"
                )
        learner.steps = log.steps * learner.envs
        self.saved_steps = log.steps

    def _restore_rows(self, steps: int) -> None:
        """Read the rows of the first ``steps`` steps; files of later ones, from a save that was killed, are removed."""
        log = self.log
        for path in sorted((self.folder / ROWS).glob("*.npz")):
            if log.steps >= steps:
                path.unlink()
                continue
            try:
                with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as part:
                    log.extend({name: part[name] for name in log.table})
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                raise PrudentError(f"{path}: not the rows of this training ({type(error).__name__})") from error
        if log.steps != steps:
            raise PrudentError(f"{self.folder / ROWS}: {log.steps} of {steps} steps are there, so it cannot go on")
        for transition in watched(log.transitions(), "filling the replay buffer", "steps", steps):
            for row in transition.rows():
                self.learner.buffer.add(row)


def identity(learner: SacLearner) -> dict[str, Any]:
    """What makes a training the same, except for how long it is."""
    learning = {name: value for name, value in asdict(learner.learning).items() if name != "sac_steps"}
    learning["hidden"] = list(learner.learning.hidden)
    seed = learner.population.members[0].seed
    about = {"env": learner.env_id, "seed": seed, "envs": learner.envs, "deterministic": learner.deterministic}
    return about | learning


def _check(folder: Path, learner: SacLearner) -> bool:
    """Whether the folder holds this training already; False if it is empty.

    Raises:
        ConfigError: it holds something else.
    """
    if not any(folder.iterdir()):
        return False
    if not (folder / ABOUT).is_file():
        raise ConfigError(f"{folder} is not empty and holds no training of sac: choose another folder")
    stored = read_json(folder / ABOUT)
    for name, value in identity(learner).items():
        if stored.get(name) != value:
            raise ConfigError(
                f"{folder} holds another training of sac, with {name} {stored.get(name)} instead of {value}: "
                "choose another folder"
            )
    return True
