"""Change gradients between the backward pass and the update, inside the optimizer's step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

__all__ = ["with_gradient_rule"]


def with_gradient_rule(optimizer: type[Optimizer], rule: Callable[[Optimizer], None], *, name: str) -> type[Optimizer]:
    """Return a subclass whose ``step`` first applies a rule to the gradients.

    Inside the step they are final: averaged over the processes and, with a gradient scaler, unscaled.

    Args:
        optimizer: a class of optimizer.
        rule: called with the optimizer object; changes the ``.grad`` of its parameters.
        name: is appended to the name of the class.
    """

    def step(self: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
        if closure is None:
            rule(self)
            return super(subclass, self).step()

        def closure_with_rule() -> Any:
            loss = closure()  # computes the gradients
            rule(self)
            return loss

        return super(subclass, self).step(closure_with_rule)

    subclass = type(optimizer.__name__ + name, (optimizer,), {"step": step})
    return subclass
