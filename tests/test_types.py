"""Batches, trees of tensors and the settings of a population."""

from dataclasses import dataclass, replace

import pytest
import torch

from prudent.algorithms import bc, cql
from prudent.errors import ConfigError
from prudent.types import Batch, Hyper, Spec, flatten, unflatten


def test_map_reaches_every_tensor_and_nothing_else():
    t = torch.ones(2, 3)
    batch = Batch(t, t, t, t, t.bool(), return_to_go=t, source="a dataset")
    doubled = batch.map(lambda x: x.to(torch.float64))
    assert doubled.observation.dtype == doubled.return_to_go.dtype == torch.float64
    assert doubled.dt is None
    assert doubled.source == "a dataset"
    assert batch.observation.dtype == torch.float32


def test_flatten_and_unflatten_are_inverse():
    tree = {"a": {"b": {"w0": torch.ones(1), "b0": torch.zeros(2)}, "c": torch.ones(3)}, "d": torch.ones(())}
    flat = flatten(tree)
    assert list(flat) == ["a.b.w0", "a.b.b0", "a.c", "d"]
    assert flatten(unflatten(flat)) == flat
    assert flatten({}) == unflatten({}) == {}


def test_float_settings_are_tensors_and_others_plain():
    hyper = Hyper([cql.Config(alpha=1.0), cql.Config(alpha=2.0)])
    assert hyper.alpha.tolist() == [1.0, 2.0]
    assert hyper.alpha.dtype == torch.float32
    assert hyper.discount.shape == (2,)
    assert hyper.hidden == (256, 256)
    assert hyper.n_actions == 10
    assert hyper.target_entropy is None
    assert [c.alpha for c in hyper.members] == [1.0, 2.0]


def test_a_whole_number_given_for_a_float_varies_all_the_same():
    assert Hyper([cql.Config(alpha=1), cql.Config(alpha=2)]).alpha.dtype == torch.float32


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"hidden": (8,)}, {"hidden": (9,)}, "hidden must be the same .* not a per-member setting"),
        ({"n_critics": 1}, {}, "n_critics must be the same"),
        ({"backup": "max"}, {}, "backup must be the same"),
        ({"target_entropy": -1.0}, {}, "target_entropy must be the same .* None for some members only"),
        ({"max_grad_norm": 1.0}, {}, "max_grad_norm must be the same"),
    ],
)
def test_what_cannot_differ_must_not(first, second, message):
    for pair in ((first, second), (second, first)):
        with pytest.raises(ConfigError, match=message) as error:
            Hyper([cql.Config(**options) for options in pair])
        assert "\n" not in str(error.value)


def test_unknown_settings_are_attribute_errors():
    hyper = Hyper([bc.Config()])
    with pytest.raises(AttributeError, match="no setting is called 'alpha'"):
        _ = hyper.alpha
    assert getattr(hyper, "value_init", "zero") == "zero"
    with pytest.raises(AttributeError):
        _ = hyper._missing


def test_any_dataclass_of_settings_will_do():
    @dataclass(frozen=True)
    class Own:
        rate: float = 1.0
        size: int = 2

    hyper = Hyper([Own(0.5), Own(0.25)], "cpu")
    assert hyper.rate.tolist() == [0.5, 0.25]
    assert hyper.size == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"observation_size": 11}, "11 observation features against 3"),
        ({"discrete": True}, "discrete actions against continuous actions"),
        ({"action_size": 5}, "5 action features against 2"),
        ({"action_low": None}, "no action_low against action_low -1 -2"),
        ({"action_high": (1.0, 2.5)}, "action_high 1 2.5 against action_high 1 2"),
    ],
)
def test_what_differs_between_spaces_is_said_in_words(changes, said):
    one = Spec(3, 2, False, (-1.0, -2.0), (1.0, 2.0))
    assert one.difference_from(replace(one, **changes)) == said
