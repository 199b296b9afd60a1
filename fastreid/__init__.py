"""Training and evaluation of re-identification and instance retrieval models.

Nothing is imported here: ``import fastreid`` is free, and each part is imported by its own name.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "2.0.0"
