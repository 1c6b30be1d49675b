"""MyAlgorithm: critics learn what actions are worth; the policy follows them and stays near the logged actions."""

from dataclasses import dataclass

import torch

from prudent import nn
from prudent.algorithms.shared import losses, multi_step, networks, settings, updates

TITLE, POLICY, NEEDS = "MyAlgorithm", "gaussian", ()


@dataclass(frozen=True, kw_only=True)
class Config(settings.ActorCritic):
    """Settings. The comment beside one is the help of its flag. Those of type float may differ between members."""

    alpha: float = 2.5  # weight of Q, which is divided by its mean size, against cloning the log


def init(spec, hyper, rng):
    nets = networks.init_actor_critic(spec, hyper, rng)
    return updates.State(nets, updates.adam_states(nets, ("actor", "critic")))


def draw(spec, hyper, rng):
    return rng.normal(hyper.batch_size, spec.action_size)  # all random numbers of a step, for the actions a'


@torch.no_grad()
def target(nets, batch, noise, hyper):
    """``r + gamma (1 - terminated) min_e Qbar_e(s', a')``, a' ~ pi(.|s'), (P, B)."""

    def value(after):
        action, _ = networks.actor_action(nets, after.observation, noise)
        return nn.critic(nets["target_critic"], after.observation, action).amin(1)

    return multi_step.bootstrap(batch, value, hyper)


def critic_loss(nets, batch, noise, hyper, y_PB=None):
    """``sum_e mean (Q_e(s, a) - y)^2``, (P,), and metrics (P,)."""
    return losses.bellman_loss(target, nets, batch, noise, hyper, y_PB)


def clone_loss(nets, batch):
    """``-mean log pi(a|s)`` of the logged actions, (P,), and metrics (P,)."""
    loss_P = -losses.data_log_prob(nets, batch).mean(-1)
    return loss_P, {"actor_loss": loss_P}


def actor_loss(nets, batch, hyper):
    """``clone_loss - alpha mean Q / mean |Q|`` at the policy's likeliest actions, (P,), and metrics (P,)."""
    action, _ = networks.actor_action(nets, batch.observation)
    q_PB = networks.q_min(nets, batch.observation, action)
    loss_P = clone_loss(nets, batch)[0] - hyper.alpha * q_PB.mean(-1) / q_PB.detach().abs().mean(-1)
    return loss_P, {"actor_loss": loss_P, "q_policy": q_PB.mean(-1)}


update_critic, update_actor = updates.critic_step(critic_loss), updates.actor_step(actor_loss)
update_supervised = updates.supervised_step(critic_loss, updates.cloning_step(clone_loss))  # for value_init
update_target, act, q_value = updates.update_polyak, networks.actor_action, networks.q_min
