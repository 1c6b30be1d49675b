"""Settings: ranges, JSON, the comments that document them."""

import json
import math
import tomllib
from dataclasses import dataclass, fields
from typing import Literal

import pytest

from prudent import algorithms
from prudent.algorithms import bc, cql, sac
from prudent.config import check_names, field_comments, from_json, member_fields, read_toml, to_json
from prudent.engine.options import Options
from prudent.errors import ConfigError, PrudentError

SHARED = [
    ({"actor_lr": 0.0}, "actor_lr must be above 0"),
    ({"actor_lr": -1.0}, "actor_lr must be above 0"),
    ({"actor_lr": math.nan}, "actor_lr must be above 0"),
    ({"batch_size": 0}, "batch_size must be above 0"),
    ({"max_grad_norm": 0.0}, "max_grad_norm must be above 0"),
    ({"hidden": ()}, "hidden must be one or more layer widths"),
    ({"hidden": (64, 0)}, "hidden must be one or more layer widths"),
]
CRITIC = [
    ({"critic_lr": 0.0}, "critic_lr must be above 0"),
    ({"n_critics": 0}, "n_critics must be above 0"),
    ({"target_period": 0}, "target_period must be above 0"),
    ({"actor_period": 0}, "actor_period must be above 0"),
    ({"polyak": 1.5}, r"polyak must lie within \[0, 1\]"),
    ({"polyak": math.nan}, r"polyak must lie within \[0, 1\]"),
    ({"discount": 1.0}, r"discount must lie within \[0, 1\)"),
    ({"discount": -0.1}, r"discount must lie within \[0, 1\)"),
    ({"discount": math.nan}, r"discount must lie within \[0, 1\)"),
    ({"value_init": "mean"}, "value_init must be one of zero, constant, regression, got 'mean'"),
    ({"value_init_steps": 0}, "value_init_steps must be above 0"),
    ({"temperature": 0.0}, "temperature must be above 0"),
    ({"temperature_lr": 0.0}, "temperature_lr must be above 0"),
]
CQL = [
    ({"alpha": -1.0}, "alpha must not be negative"),
    ({"alpha": math.nan}, "alpha must not be negative, got nan"),
    ({"alpha": 1.0, "alpha_final": -1.0, "alpha_anneal_steps": 5}, "alpha must not be negative"),
    ({"alpha_final": 1.0}, "alpha_final and alpha_anneal_steps go together"),
    ({"alpha_anneal_steps": 10}, "alpha_final and alpha_anneal_steps go together"),
    ({"backup": "mean"}, "backup must be one of min, entropy, max, soft, got 'mean'"),
    ({"gradient": "some"}, "gradient must be one of exact, sampled"),
    ({"gradient_samples": 0}, "gradient_samples must be above 0"),
    ({"n_actions": 0}, "n_actions must be above 0"),
    ({"cql_temperature": 0.0}, "cql_temperature must be above 0"),
    ({"lagrange_lr": 0.0}, "lagrange_lr must be above 0"),
    ({"proposals": ()}, "proposals must be some of uniform, policy, next_policy"),
    ({"proposals": ("uniform", "behaviour")}, "proposals must be some of uniform, policy, next_policy"),
    ({"gap_clip": (1.0, 1.0)}, r"gap_clip must be \(min, max\) with min < max"),
    ({"gap_clip": (2.0,)}, r"gap_clip must be \(min, max\) with min < max"),
    ({"gap_clip": (1.0, 2.0, 3.0)}, r"gap_clip must be \(min, max\) with min < max"),
    ({"gap_clip": (2.0, -2.0)}, r"gap_clip must be \(min, max\) with min < max"),
]
ERRORS = [(m, *case) for m in (bc, sac, cql) for case in SHARED]
ERRORS += [(m, *case) for m in (sac, cql) for case in CRITIC]
ERRORS += [(cql, *case) for case in CQL]


@pytest.mark.parametrize(("module", "options", "message"), ERRORS, ids=str)
def test_every_range_is_checked_in_one_line(module, options, message):
    with pytest.raises(ConfigError, match=message) as error:
        module.Config(**options)
    assert "\n" not in str(error.value)
    assert isinstance(error.value, PrudentError)


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": 0.0},
        {"discount": 0.0},
        {"polyak": 0.0},
        {"polyak": 1.0},
        {"gap_clip": (-200.0, math.inf)},
        {"alpha_final": 0.0, "alpha_anneal_steps": 1},
        {"proposals": ("policy",)},
    ],
    ids=str,
)
def test_the_ends_of_the_ranges_are_allowed(options):
    cql.Config(**options)


@pytest.mark.parametrize("name", algorithms.names())
def test_every_checked_default_is_valid(name):
    algorithms.get(name).Config()


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        bc.Config(),
        sac.Config(target_entropy=-3.0),
        cql.Config(),
        cql.Config(gap_clip=(-200.0, math.inf), hidden=(64,), proposals=("uniform",), max_grad_norm=1.0),
        cql.Config(gap_clip=(-math.inf, 5.0), lagrange=True, backup="max"),
        cql.Config(alpha=1e-300, alpha_final=0.1 + 0.2, alpha_anneal_steps=3),
    ],
    ids=str,
)
def test_round_trip_through_strict_json(config):
    text = json.dumps(to_json(config), allow_nan=False)
    assert from_json(type(config), json.loads(text)) == config


def test_values_come_back_with_their_types():
    config = from_json(cql.Config, {"alpha": 5, "hidden": [64, 32], "gap_clip": [-200, "inf"], "lagrange": True})
    assert isinstance(config.alpha, float)
    assert config.hidden == (64, 32)
    assert config.gap_clip == (-200.0, math.inf)
    assert config.target_entropy is None


@pytest.mark.parametrize(
    "values",
    [
        {"alpha": "five"},
        {"alpha": None},
        {"alpha": True},
        {"alpha": [1.0]},
        {"n_critics": 2.5},
        {"n_critics": True},
        {"n_critics": "2"},
        {"lagrange": 1},
        {"lagrange": "yes"},
        {"hidden": 64},
        {"hidden": ["a"]},
        {"hidden": "64"},
        {"backup": 3},
        {"backup": "mean"},
        {"gap_clip": ["low", "high"]},
    ],
    ids=str,
)
def test_a_value_of_the_wrong_type_is_one_line_that_names_it(values):
    (name,) = values
    with pytest.raises(ConfigError, match=name) as error:
        from_json(cql.Config, values)
    assert "\n" not in str(error.value)


def test_an_unknown_setting_proposes_the_nearest():
    for wrong, near in (("aplha", "alpha"), ("batchsize", "batch_size"), ("learn_temp", "learn_temperature")):
        with pytest.raises(ConfigError, match=f"no setting is called '{wrong}'; did you mean {near}") as error:
            from_json(cql.Config, {wrong: 1})
        assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="there are top_fraction, actor_lr, max_grad_norm, hidden"):
        check_names(bc.Config, ["zzzzzz"])


# --- fields and comments ----------------------------------------------------------------------------------------------


def test_float_fields_may_differ_between_members():
    assert {"alpha", "discount", "target_entropy", "max_grad_norm", "critic_lr"} <= member_fields(cql.Config)
    assert not {"hidden", "n_actions", "backup", "lagrange", "gap_clip", "batch_size"} & member_fields(cql.Config)


@dataclass(frozen=True)
class Sample:
    """A config to read comments from: # this is none."""

    rate: float = 1e-3  # how fast
    shape: tuple[int, ...] = (1, 2)  # sizes: one per layer
    kind: Literal["a", "b"] = "a"  # which; see docs/algorithms.md

    def method(self) -> float:
        """Also no field."""
        local: float = 1.0  # no field either
        return local


def test_comments_are_those_beside_the_fields():
    assert field_comments(Sample) == {
        "rate": "how fast",
        "shape": "sizes: one per layer",
        "kind": "which; see docs/algorithms.md",
    }


@pytest.mark.parametrize("name", algorithms.names())
def test_every_setting_has_a_comment_of_its_own(name):
    config_type = algorithms.get(name).Config
    comments = field_comments(config_type)
    assert list(comments) == [f.name for f in fields(config_type)], f"{name}: fields and comments differ"
    assert all(len(c) > 8 and "\n" not in c for c in comments.values()), f"{name}: a comment that says nothing"
    assert len(set(comments.values())) == len(comments), f"{name}: two fields share a comment: one has none of its own"


DOTS = "." * 40


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"# {DOTS}\na = 1 # it's {DOTS}\n", {"a": 1}),
        (f'a = """\n{DOTS} "quoted" \\""" {DOTS}"""\nb = 1', {"a": f'{DOTS} "quoted" """ {DOTS}', "b": 1}),
        (f"a = '''\n{DOTS}\n# it's {DOTS}'''\nb = 1", {"a": f"{DOTS}\n# it's {DOTS}", "b": 1}),
        (f'a = """{DOTS}"""""\nb = "# {DOTS} \\" {DOTS}"', {"a": f'{DOTS}""', "b": f'# {DOTS} " {DOTS}'}),
        (f"a = '{DOTS}\"' # \"{DOTS}", {"a": f'{DOTS}"'}),
        (f'"{DOTS}".b = 1.5', {DOTS: {"b": 1.5}}),
    ],
)
def test_dots_in_comments_and_strings_are_no_keys(tmp_path, text, found):
    (tmp_path / "map.toml").write_text(text)
    assert read_toml(tmp_path / "map.toml") == found


LONG = ".".join("a" * 50_000)


@pytest.mark.parametrize(
    "text",
    [
        f"{LONG} = 1",
        f"[{LONG}]",
        f"x = {{{LONG} = 1}}",
        '"a".' * 50_000 + "a = 1",
        "'a'. " * 50_000 + "a = 1",
        f"x = '' # '''\n{LONG} = 1",
        f'x = """"""\n{LONG} = 1 # """',
        f"x = '''\\'''\n{LONG} = 1 # '''",
        f'x = "\\\\" # "\n{LONG} = 1',
    ],
    ids=["key", "table", "inline", "quoted", "literal", "comment", "empty string", "literal string", "escape"],
)
def test_a_key_of_many_parts_is_refused_wherever_it_stands(tmp_path, monkeypatch, text):
    # The parser would take minutes.
    monkeypatch.setattr(tomllib, "loads", lambda _: pytest.fail("the key reached the parser"))
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"map\.toml has a key of more than 32 parts"):
        read_toml(tmp_path / "map.toml")


@pytest.mark.parametrize(
    "text",
    ['x = """' + '\\"""' * 50_000, 'x = "' + '\\"' * 100_000, "'" * 200_000 + "a", '"' * 200_000 + "a", 'x = """\\'],
    ids=["long", "short", "apostrophes", "quotes", "escape"],
)
def test_strings_without_an_end_are_refused(tmp_path, text):
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"map\.toml is not TOML"):
        read_toml(tmp_path / "map.toml")


@pytest.mark.parametrize("value", [None, True, 1.0, "2", 0])
def test_a_whole_number_is_one_even_where_another_setting_may_be_missing(value):
    with pytest.raises(ConfigError, match="steps must be a whole number, 1 or more"):
        Options(steps=value)
    assert Options(threads=None).threads is None
