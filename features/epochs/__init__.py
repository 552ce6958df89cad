"""Movement in epochs: what recordings become before anything is scored."""

from features.epochs.epochs import Epochs
from features.epochs.files import read_epochs

__all__ = ["Epochs", "read_epochs"]
