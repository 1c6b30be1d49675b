"""Share exported policies on the Hugging Face Hub, and act with those of others.

>>> from prudent import hub
>>> hub.push("policy", "owner/name")
>>> policy = hub.load("hf://owner/name")
>>> policy.predict({"on_hand": 20, "weekday": "Mon"})

What is loaded is data: an ONNX graph and JSON. No program of a repository runs, its ``act.py`` neither. A token is that
of ``huggingface_hub`` (``hf auth login`` or ``HF_TOKEN``); this library neither reads nor stores it.
"""

import re
import tempfile
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from prudent import files
from prudent.errors import MISFITS, ConfigError, PrudentError, in_one_line
from prudent.export import folder as exports
from prudent.export.formats import FILES
from prudent.runs.foreign import as_written

SCHEME = "hf://"

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,255}")
_NEEDED = ("huggingface_hub", "onnx", "onnxruntime")
_GRAPH = FILES["onnx"]

T = TypeVar("T")


class HubPolicy:
    """A policy that :func:`load` took from the hub, or from a folder.

    Attributes:
        source: where it is from, with the commit: ``hf://owner/name@commit``.
        about: the content of ``policy.json``: names, bounds, labels, how to act, where it comes from, what it is worth.
    """

    def __init__(self, source: str, about: Mapping[str, Any], action: Any, whole: Any):
        self.source, self.about = source, about
        self._action, self._whole = action, whole

    def __repr__(self) -> str:
        return f"HubPolicy({self.source!r}, {self.about.get('title')})"

    def predict(self, observation: Any, mask: np.ndarray | None = None, noise: np.ndarray | None = None) -> np.ndarray:
        """The action: one observation (S,) or dictionary of columns -> (A,), several (B, S) -> (B, A), in log units.

        Discrete actions are the log's numbers, () and (B,). ``mask`` (A,) or (B, A) bool says which are allowed.
        ``noise`` of the same shape replaces what a policy that acts by samples draws.

        Raises:
            PrudentError: names, shapes or values do not fit, or the policy refuses to act.
        """
        return self._decided(self._action, observation, mask, noise)["action"]

    def decide(
        self, observation: Any, mask: np.ndarray | None = None, noise: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """All outputs by name (``about["outputs"]`` says what they are); otherwise as :meth:`predict`."""
        return self._decided(self._whole, observation, mask, noise)

    def _decided(self, policy: Any, *arguments: Any) -> dict[str, np.ndarray]:
        try:
            return policy.decide(*arguments)
        except MISFITS as error:
            raise PrudentError(in_one_line(error)) from error
        except Exception as error:  # onnxruntime has errors of its own, all of them direct children of Exception
            raise PrudentError(f"{self.source} cannot act: {in_one_line(error, with_kind=True)}") from error


def push(folder: Path | str, repo: str, *, private: bool = True, message: str | None = None) -> str:
    """Upload an export, the folder of ``prudent export``, to the model repository ``owner/name``, made if need be.

    Only the files of the export go: the graph, ``policy.json``, the model card, ``act.py``, ``SHA256SUMS``. They are
    checked against their SHA-256 before.

    Args:
        folder: the export.
        repo: ``owner/name``.
        private: whether a repository that is made here is private; one that exists stays as it is.
        message: of the commit.

    Returns:
        ``hf://owner/name@commit``, for :func:`load`.

    Raises:
        ConfigError: ``folder`` is no export, or one for PyTorch only; ``repo`` is no name; the extra is missing.
        PrudentError: a file was changed after the export, or the hub refuses.
    """
    _check_installed()
    if not _REPO.fullmatch(repo):
        raise ConfigError(f"{repo!r} is no repository: name it as owner/name")
    path = Path(folder)
    about = exports.verify(path, _silent)
    _check_format(str(path), about)
    names = [*exports.listed(path), exports.SUMS]
    api = _api()

    def upload() -> str:
        api.create_repo(repo, repo_type="model", private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo,
            folder_path=path,
            allow_patterns=names,
            commit_message=message or f"{about.get('title')}, by {about.get('made_by')}",
        )
        return done.oid

    return f"{SCHEME}{repo}@{_asked(f'{repo} cannot be written', upload)}"


def load(source: str | Path, seed: int | None = None) -> HubPolicy:
    """The policy of ``hf://owner/name[@revision]``, or of an export on this machine.

    Without a revision it is the newest; a commit as the revision is always the same. Files are kept in the cache of
    ``huggingface_hub``. They are checked against the ``SHA256SUMS`` beside them: that finds damage, but whoever wrote
    the repository wrote the sums, too.

    Args:
        source: the address, or the folder of an export.
        seed: of the draws of a policy that acts by samples; None is a new one each time.

    Raises:
        ConfigError: ``source`` is no such address, no export, or one for PyTorch only; the extra is missing.
        PrudentError: the hub refuses, a file is missing or damaged, or the graph wants files outside of itself.
    """
    _check_installed()
    if not str(source).startswith(SCHEME):
        return _opened(Path(source), str(source), seed)
    repo, at, revision = str(source).removeprefix(SCHEME).partition("@")
    if not _REPO.fullmatch(repo) or (at and (not _REVISION.fullmatch(revision) or ".." in revision)):
        raise ConfigError(f"{str(source)!r} is no address: write {SCHEME}owner/name or {SCHEME}owner/name@revision")
    wanted = [*exports.KNOWN, exports.SUMS]
    snapshot = Path(
        _asked(
            f"{source} cannot be read",
            lambda: _api().snapshot_download(repo, revision=revision or None, allow_patterns=wanted),
        )
    )
    # The cache consists of links, which an export must not have; and what is checked here stays as it is.
    with tempfile.TemporaryDirectory(prefix="prudent-hub-") as copied:
        for name in wanted:
            if (snapshot / name).is_file():
                files.write(Path(copied) / name, (snapshot / name).read_bytes())
        return _opened(Path(copied), f"{SCHEME}{repo}@{snapshot.name}", seed)


def _opened(path: Path, source: str, seed: int | None) -> HubPolicy:
    """The policy of an export, all of it in memory."""
    try:
        about = exports.verify(path, _silent)
    except PrudentError as error:
        raise type(error)(str(error).replace(str(path), source)) from None
    _check_format(source, about)
    # Our own copy of the program, not the one in the folder.
    from prudent.export.act import Policy

    fast = exports.ACTION if (path / exports.ACTION).is_file() else _GRAPH
    for name in {fast, _GRAPH}:
        _check_graph(path / name, f"{source}, {name}")
    with as_written(f"{source}, {exports.ABOUT}"):
        _check_about(about)
        try:
            return HubPolicy(source, about, *(Policy(path, name, seed) for name in (fast, _GRAPH)))
        except MISFITS:
            raise
        except Exception as error:  # onnxruntime has errors of its own, all of them direct children of Exception
            raise PrudentError(f"{source} holds no graph that can run: {in_one_line(error)}") from error


def _check_about(about: Mapping[str, Any]) -> None:
    """What acting reads must be there, so that a damaged description is found when it is loaded.

    Raises:
        KeyError, TypeError: it is not.
    """
    observation, action = about["observation"], about["action"]
    if observation["dtype"] not in ("float32", "float64") or about["noise"] not in (None, "normal", "uniform"):
        raise ValueError("a type of numbers or of noise that no export has")
    for key in ("size", "columns"):
        observation[key]
    for key in ("size", "discrete"):
        action[key]


def _check_format(source: str, about: Mapping[str, Any]) -> None:
    with as_written(f"{source}, {exports.ABOUT}"):
        if about["graph"]["format"] != "onnx":
            raise ConfigError(f"{source} is an export for PyTorch, which can hold code: export it with --format onnx")


def _check_graph(path: Path, what: str) -> None:
    """Refuse a graph that is none, or that names files for its numbers: they could be any file of this machine.

    Raises:
        PrudentError: it is or does.
    """
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf has errors of its own
        raise PrudentError(f"{what} is no ONNX graph: {in_one_line(error)}") from error
    if _names_files(model):
        raise PrudentError(f"{what} takes numbers from other files: it is not loaded")


def _names_files(message: Any) -> bool:
    """Whether any tensor inside a protobuf message lies in a file of its own."""
    for field, value in message.ListFields():
        if field.name == "external_data":
            return True
        if field.message_type is not None:
            parts = value if hasattr(value, "__len__") and not hasattr(value, "ListFields") else [value]
            if any(hasattr(part, "ListFields") and _names_files(part) for part in parts):
                return True
    return False


def _check_installed() -> None:
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise ConfigError(f"the hub needs {', '.join(missing)}: pip install 'prudent[hub]'")


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi(library_name="prudent")


def _asked(what: str, question: Callable[[], T]) -> T:
    """The answer of the hub, or one line why there is none."""
    from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError, RepositoryNotFoundError

    try:
        return question()
    except LocalTokenNotFoundError as error:
        raise PrudentError(f"{what}: no token is known; hf auth login stores one, or set HF_TOKEN") from error
    except RepositoryNotFoundError as error:
        raise PrudentError(f"{what}: there is no such repository, or it is private and the token may not") from error
    except HFValidationError as error:
        raise ConfigError(f"{what}: {in_one_line(error)}") from error
    except Exception as error:  # the hub's errors, and those of the network below it, have no common class
        raise PrudentError(f"{what}: {in_one_line(error, with_kind=True)[:300]}") from error


def _silent(_text: str) -> None:
    """For checks whose success needs no line."""
