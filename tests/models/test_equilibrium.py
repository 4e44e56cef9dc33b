"""Gradient equilibrium: each layer receives the mean of the gradients of the exits after it."""

import pytest
import torch

from splitee.models.equilibrium import after_exit, before_exit


@pytest.mark.parametrize("exits", [1, 2, 5])
def test_each_layer_receives_the_mean_of_the_exits_after_it(exits):
    weights = torch.randn(exits, 3, generator=torch.Generator().manual_seed(0))
    states, hidden, loss = [], torch.ones(3, requires_grad=True), 0.0
    for i in range(exits):
        above = exits - i
        state = hidden * 1.0  # a layer whose gradient passes unchanged
        state.retain_grad()
        states.append(state)
        hidden = before_exit(state, above)
        loss = loss + (weights[i] * hidden).sum()
        hidden = after_exit(hidden, above)
    loss.backward()
    for i, state in enumerate(states):
        torch.testing.assert_close(state.grad, weights[i:].mean(0))


def test_values_pass_unchanged():
    hidden = torch.randn(2, 3)
    assert torch.equal(before_exit(hidden, 4), hidden)
    assert torch.equal(after_exit(hidden, 4), hidden)
    assert after_exit(hidden, 1) is hidden
