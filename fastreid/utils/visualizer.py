"""Old address of ``fastreid.visualization.visualizer``."""

from __future__ import annotations

from ..visualization.visualizer import Visualizer

__all__ = ["Visualizer"]
