"""The model card: what the Hugging Face Hub reads, and what a person reads."""

import json

import pytest

from prudent.export.card import card


def front(text):
    """The block of YAML, whose values are JSON."""
    lines = text.split("---\n")[1].splitlines()
    return {key: json.loads(value) for key, _, value in (line.partition(": ") for line in lines)}


@pytest.fixture
def worth(shop):
    value = {"value": 12.5, "interval": [10.0, 15.0], "level": 0.95, "by": "fqe", "discount": 0.9}
    return {
        **shop.content,
        "verdict": "deploy this policy",
        "reasons": ["better than *BC*"],
        "value": {**value, "dataset": "new.csv", "episodes": 30, "trained_on_these": False},
        "return": {"mean": -3.0, "iqm": -3.5, "interval": [-4.0, -2.0], "env": "Pendulum-v1"},
    }


def test_the_head_is_what_the_hub_reads(worth):
    found = front(card(worth))
    assert found["license"] == "cc-by-4.0"
    assert found["library_name"] == "onnx"
    assert {"reinforcement-learning", "cql"} <= set(found["tags"])
    (entry,) = found["model-index"]
    (result,) = entry["results"]
    assert (result["task"]["type"], result["dataset"]["name"]) == ("reinforcement-learning", "shop.csv")
    figures = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert figures["off_policy_value"] == 12.5
    assert figures["mean_reward"] == -3.0
    assert figures["share_outside_data"] == worth["outside"]["share"]


def test_nothing_is_claimed_where_nothing_is_known(shop):
    plain = {**shop.content, "outside": None, "data": {**shop.content["data"], "license": None}}
    text = card(plain)
    assert "model-index" not in front(text)
    assert "license" not in front(text)
    assert "The value of this policy is not known" in text
    assert "licence: not stated" in text
    assert "Whether a decision lies outside the data is not checked." in text


def test_a_person_reads_verdict_value_and_limits(worth):
    text = card(worth)
    for part in (
        "Verdict: **deploy this policy**",
        "better than \\*BC\\*",
        "from new.csv: 12.5 (95 % interval 10 to 15), discount 0.9.",
        "Mean return in Pendulum-v1: -3 (95 % interval of the interquartile mean: -4 to -2).",
        "`weekday=Mon`",
        "`order`: 0 to 50",
        "The output `outside` says so",
        "fingerprint `",
    ):
        assert part in text, part


def test_names_from_a_log_break_out_of_nothing(worth):
    evil = '--- evil: "yes"\n---\n# Heading <script>`'
    text = card({**worth, "data": {**worth["data"], "name": evil, "license": evil}})
    assert text.count("\n---\n") == 1
    found = front(text)
    assert "license" not in found
    assert found["model-index"][0]["results"][0]["dataset"]["name"] == evil
    assert "<script>" not in text.split("\n---\n")[1]
