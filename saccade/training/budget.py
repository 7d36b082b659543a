"""The loss of the learned budget: the expected task loss, and a penalty for missing a target number of tokens.

L = sum_k p_k loss_k + lambda ((tokens / target) - 1)^2, where p is the network's distribution over budgets, loss_k the
measured loss of an image and question at budget k (for instance 1 - ANLS at each budget, in evaluation mode), and
tokens the mean of sum_k p_k tokens_k over the batch: easy pictures may pay for hard ones. Expectations instead of
samples, so that the gradient is exact; a prediction rounded to a whole number of tokens would have none.
"""

from torch import Tensor

from saccade.heads.budget import BudgetNet


def loss(net: BudgetNet, features: Tensor, task: Tensor, target_tok: float, weight: float) -> Tensor:
    """() of features (B, F) and the task's losses (B, len(levels)) at each budget."""
    probability = net(features)
    over: Tensor = net.expected_tok(probability).mean() / target_tok - 1
    cost: Tensor = (probability * task).sum(-1).mean()
    return cost + weight * over.square()
