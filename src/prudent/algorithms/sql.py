"""CQL with the soft backup: V(s') is the log-sum-exp of the target critics over actions of the policy.

``V(s') = T [ LSE_j( Qbar(s', a_j) / T - log pi(a_j|s') ) - log N ]``, a_j ~ pi(.|s'): soft Q-learning (Haarnoja et al.
2017, arXiv 1702.08165, eq. 10) in the place of the Bellman backup of the policy. Not to be confused with sparse
Q-learning, which is also abbreviated SQL: see :mod:`prudent.algorithms.sparse_ql`.
"""

from dataclasses import dataclass
from typing import Literal

from prudent.algorithms import cql
from prudent.algorithms.shared.settings import own_last
from prudent.config import check_choice

TITLE, POLICY, NEEDS = "SQL", "gaussian", ()


@own_last
@dataclass(frozen=True, kw_only=True)
class Config(cql.Config):
    """Settings of CQL, with the soft backup; float fields may differ between members of a population."""

    backup: Literal["soft"] = "soft"  # value of the next state in the target: always the soft one here

    def __post_init__(self):
        super().__post_init__()
        check_choice(self, "backup", ("soft",))


init, draw = cql.init, cql.draw
critic_loss = cql.critic_loss
update_critic, update_actor, update_target = cql.update_critic, cql.update_actor, cql.update_target
update_supervised = cql.update_supervised
act, q_value = cql.act, cql.q_value
