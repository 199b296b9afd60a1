"""The old, misspelt address of the cross-entropy loss and the accuracy."""

from .accuracy import log_accuracy
from .cross_entropy_loss import cross_entropy_loss

__all__ = ["cross_entropy_loss", "log_accuracy"]
