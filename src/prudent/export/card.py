"""The model card of an export: ``README.md`` as the Hugging Face Hub reads it, with a ``model-index``."""

import json
import re
from collections.abc import Mapping
from typing import Any

TAGS = ("reinforcement-learning", "offline-reinforcement-learning", "prudent")


def card(about: Mapping[str, Any]) -> str:
    """The text of the card, from the content of ``policy.json``."""
    return f"---\n{_front(about)}---\n\n{_body(about)}"


def _front(about: Mapping[str, Any]) -> str:
    """The block of YAML. Every value is written as JSON, which YAML contains: no name can break out of it."""
    license_ = about["data"]["license"]
    fields: dict[str, Any] = {
        **({"license": license_.lower()} if license_ and re.fullmatch(r"[\w.\-]+", license_) else {}),
        "library_name": "onnx" if about["graph"]["format"] == "onnx" else "pytorch",
        "pipeline_tag": "reinforcement-learning",
        "tags": [*TAGS, about["algorithm"]],
    }
    metrics = [{"type": kind, "name": name, "value": value} for kind, name, value in _metrics(about)]
    if metrics:
        dataset = {"name": about["data"]["name"], "type": "offline-log"}
        task = {"type": "reinforcement-learning", "name": "offline reinforcement learning"}
        fields["model-index"] = [
            {"name": _name(about), "results": [{"task": task, "dataset": dataset, "metrics": metrics}]}
        ]
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in fields.items())


def _name(about: Mapping[str, Any]) -> str:
    return f"{about['title']} on {about['data']['name']}"


def _metrics(about: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    """Type, name and value of each figure that is known."""
    value, earned, outside = about["value"], about["return"], about["outside"]
    metrics: list[tuple[str, str, float]] = []
    if earned is not None:
        metrics.append(("mean_reward", f"mean return in {earned['env']}", earned["mean"]))
    if value is not None:
        ends = "" if value["interval"] is None else _interval(value["interval"])
        metrics.append(
            ("off_policy_value", f"value estimated from the log by {value['by'].upper()}{ends}", value["value"])
        )
    if outside is not None and outside["share"] is not None:
        metrics.append(("share_outside_data", "share of decisions outside the data", outside["share"]))
    return metrics


def _body(about: Mapping[str, Any]) -> str:
    return (
        "\n\n".join(
            part
            for part in (
                f"# {_text(_name(about))}",
                _summary(about),
                f"## What it is worth\n\n{_worth(about)}",
                f"## Where it may be used\n\n{_limits(about)}",
                f"## How to use it\n\n{_usage(about)}",
                f"## Inputs and outputs\n\n{_interface(about)}",
                f"## Where it comes from\n\n{_origin(about)}",
            )
            if part
        )
        + "\n"
    )


def _summary(about: Mapping[str, Any]) -> str:
    action, observation = about["action"], about["observation"]
    kind = f"one of {action['size']} actions" if action["discrete"] else f"{_count(action['size'], 'amount')}"
    how = "a sample of its distribution, with noise as an input" if about["noise"] else "its likeliest action"
    return (
        f"A policy that {_text(about['title'])} learned from a fixed log. From "
        f"{_count(observation['size'], 'feature')} it chooses {kind}, in the units of the log; it acts by {how}."
    )


def _worth(about: Mapping[str, Any]) -> str:
    lines = [] if about["verdict"] is None else [f"Verdict: **{_text(about['verdict'])}**", ""]
    lines += [f"- {_text(reason)}" for reason in about["reasons"]]
    value, earned = about["value"], about["return"]
    if value is not None:
        ends = "" if value["interval"] is None else _interval(value["interval"])
        seen = {True: "; it learned from these episodes", False: "", None: ""}[value["trained_on_these"]]
        lines.append(
            f"- Value estimated by {value['by'].upper()} from {_text(value['dataset'])}: {value['value']:.4g}{ends}, "
            f"discount {value['discount']:g}{seen}."
        )
    if earned is not None:
        ends = (
            ""
            if earned["interval"] is None
            else f" (95 % interval of the interquartile mean: {_ends(earned['interval'])})"
        )
        lines.append(f"- Mean return in {_text(earned['env'])}: {earned['mean']:.4g}{ends}.")
    lines.append(
        f"- Mean return, without discount, of the episodes that it learned from: {about['data']['mean_return']:.4g}."
    )
    if value is None and earned is None:
        lines.append(
            "- The value of this policy is not known: nobody estimated it, or the log does not support an estimate."
        )
    return "\n".join(lines)


def _limits(about: Mapping[str, Any]) -> str:
    lines, outside = [], about["outside"]
    if outside is None:
        lines.append("Whether a decision lies outside the data is not checked.")
    else:
        share = (
            ""
            if outside["share"] is None
            else f" Of its decisions in the log's states {100 * outside['share']:.1f} % do."
        )
        does = {
            "flag": "The output `outside` says so; the policy acts all the same.",
            "refuse": "There the policy takes no action.",
            "nearest": "There it takes the action of the nearest logged state.",
        }[outside["fallback"]]
        lines.append(
            f"A decision lies outside the data if its k-th nearest logged decision (k = {outside['neighbours']}) is "
            f"further away than that of {100 * outside['level']:g} % of new logged ones.{share} {does}"
        )
    does = {
        "clip": "counts as the nearest value within it",
        "warn": "is taken as it is",
        "refuse": "makes the policy refuse to act",
    }[about["observation"]["outside_range"]]
    lines.append(f"A feature outside the range of the log {does}; the output `beyond` says which.")
    return "\n\n".join(lines)


def _usage(about: Mapping[str, Any]) -> str:
    if about["graph"]["format"] != "onnx":
        extra = "".join(f", {name}={name}" for name in about["inputs"][1:])
        return (
            "```python\nimport torch\n\n"
            f'policy = torch.export.load("{about["graph"]["file"]}").module()\n'
            f"outputs = policy(observation=observation{extra})  # {', '.join(about['outputs'])}\n```"
        )
    return (
        "```python\nfrom act import Policy  # act.py of this folder; needs NumPy and onnxruntime\n\n"
        "policy = Policy()\naction = policy.act(observation)\n"
        'everything = Policy(file="policy.onnx").decide(observation)\n```\n\n'
        "`sha256sum -c SHA256SUMS` verifies the files."
    )


def _interface(about: Mapping[str, Any]) -> str:
    observation, action = about["observation"], about["action"]
    lines = [f"- input `observation`: {observation['dtype']} (rows, {observation['size']}), in the units of the log"]
    if observation["features"]:
        lines[0] += f": {', '.join(f'`{_code(name)}`' for name in observation['features'])}"
    if "mask" in about["inputs"]:
        lines.append(f"- input `mask`: bool (rows, {action['size']}), which actions are allowed")
    if about["noise"]:
        kind = "standard normal" if about["noise"] == "normal" else "uniform on [0, 1)"
        lines.append(f"- input `noise`: float32 (rows, {action['size']}), {kind}; the same noise gives the same action")
    lines += [f"- output `{name}`: {meaning}" for name, meaning in about["outputs"].items()]
    if action["discrete"]:
        numbers = range(action["first_action"], action["first_action"] + action["size"])
        named = action["labels"] or []
        lines.append(
            f"- actions: {numbers[0]} to {numbers[-1]}"
            + "".join(
                f"{': ' if not place else ', '}{numbers[place]} = `{_code(label)}`" for place, label in enumerate(named)
            )
        )
    else:
        names = action["names"] or [f"action {place}" for place in range(action["size"])]
        lines += [
            f"- `{_code(name)}`: {low:g} to {high:g}"
            for name, low, high in zip(names, action["low"], action["high"], strict=True)
        ]
    return "\n".join(lines)


def _origin(about: Mapping[str, Any]) -> str:
    data, checked = about["data"], about["checked"]
    return "\n".join(
        [
            f"- data: {_text(data['name'])}, {_count(data['transitions'], 'transition')} in "
            f"{_count(data['episodes'], 'episode')}, fingerprint `{data['fingerprint']}`; "
            f"licence: {_text(data['license'] or 'not stated')}",
            f"- training: {_text(about['title'])}, {_text(about['member']['name'])}, {about['step']:,} steps, discount "
            f"{about['discount']:g}; {about['made_by']}",
            f"- the graph was compared with the policy on {checked['rows']:,} rows of {_text(checked['source'])}: the "
            f"largest difference is {checked['largest_difference']:.1e}",
        ]
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _interval(ends: Any) -> str:
    return f" (95 % interval {_ends(ends)})"


def _ends(ends: Any) -> str:
    return f"{ends[0]:.4g} to {ends[1]:.4g}"


def _text(text: Any) -> str:
    """Text from a log as plain Markdown: no mark-up, no line break."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", " ".join(str(text).split()))


def _code(text: Any) -> str:
    """Text from a log between backticks."""
    return " ".join(str(text).replace("`", "'").split())
