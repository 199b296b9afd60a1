"""The config tree: everything that a run does is written in it."""

from __future__ import annotations

from .config import CfgNode, configurable, get_cfg, global_cfg, set_global_cfg
from .files import get_config_file

__all__ = ["CfgNode", "configurable", "get_cfg", "get_config_file", "global_cfg", "set_global_cfg"]
