"""Acts with an exported policy. Needs NumPy and onnxruntime:  python act.py '{"on_hand": 20, "weekday": "Mon"}'"""

import json
import sys
from numbers import Real
from pathlib import Path

import numpy as np
import onnxruntime


class Policy:
    def __init__(self, folder=Path(__file__).parent, file="action.onnx", seed=None):  # policy.onnx has all outputs
        self.about, options = json.loads(Path(folder, "policy.json").read_bytes()), onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(Path(folder, file)), options, ["CPUExecutionProvider"])
        self.names, self.rng = [output.name for output in self.session.get_outputs()], np.random.default_rng(seed)

    def decide(self, observation, mask=None, noise=None):  # features (S,) or (B, S), or a dictionary of named values
        about, action = self.about["observation"], self.about["action"]
        x = np.array([*encoded(observation, about)] if isinstance(observation, dict) else observation, about["dtype"])
        if x.ndim not in (1, 2) or x.shape[-1] != about["size"] or not np.isfinite(x).all():
            raise ValueError(f"observation has shape {x.shape}, expected {about['size']} finite numbers in each row")
        feeds: dict = {"observation": x.reshape(-1, about["size"])}
        shape = x.size // about["size"], action["size"]
        if action["discrete"]:
            feeds["mask"] = np.array(np.ones(shape) if mask is None else mask, bool).reshape(shape)
        if kind := self.about["noise"]:
            drawn = getattr(self.rng, kind)(size=shape) if noise is None else noise
            feeds["noise"] = np.array(drawn, np.float32).reshape(shape)
        found = dict(zip(self.names, map(np.asarray, self.session.run(None, feeds)), strict=True))
        if not (found["action"] >= action.get("first_action", -np.inf)).all():  # NaN, or a number below the first one
            raise ValueError("the policy refuses to act: the decision lies outside the data, or no action is allowed")
        return {name: value[0] if x.ndim == 1 else value for name, value in found.items()}

    def act(self, observation, mask=None, noise=None):
        return self.decide(observation, mask, noise)["action"]


def encoded(row, about):
    if (names := {column["name"] for column in about["columns"] or ()}) != set(row):
        raise ValueError(f"observation: missing {sorted(names - set(row))}, unknown {sorted(set(row) - names)}")
    for column in about["columns"]:
        value, places = row[column["name"]], column["places"]
        is_gap = value is None or value == "" or value != value
        number = column["fill_number"] if is_gap else places.get(str(value)) if places else value
        if not isinstance(number, Real):
            raise ValueError(f"observation: {column['name']} is {value!r}; it takes {column['values'] or 'numbers'}")
        yield from np.arange(len(column["values"])) == number if column["kind"] == "one-hot" else [number]
        yield from [is_gap] * column["flag"]


if __name__ == "__main__":
    try:
        print(json.dumps(Policy(file="policy.onnx").decide(json.loads(sys.argv[-1])), default=lambda x: x.tolist()))
    except (ValueError, OSError) as error:
        sys.exit(print(f"act.py: {error} (it takes one observation, as JSON)", file=sys.stderr) or 2)
