"""Pictures of runs and results."""

from __future__ import annotations

from .curves import (
    ResultRecord,
    RunRecord,
    draw_cameras,
    draw_cmc,
    draw_dir,
    draw_precisions,
    draw_results,
    draw_roc,
    draw_runs,
    draw_scores,
    read_evaluations,
    read_runs,
)
from .embed_map import EmbedMap, build_embed_map
from .embed_page import draw_embed_map, write_embed_map
from .maps import (
    ACTIVATION_REGISTRY,
    activation_maps,
    attention_rollout,
    channel_energy,
    overlay,
    pair_grad_cam,
)
from .rank_lists import Look, choose_queries, draw_rank_list, write_rank_pictures
from .style import save_figure
from .thumbnails import Thumbnails, read_thumbnail
from .visualizer import Visualizer

__all__ = [
    "ACTIVATION_REGISTRY",
    "EmbedMap",
    "Look",
    "ResultRecord",
    "RunRecord",
    "Thumbnails",
    "Visualizer",
    "activation_maps",
    "attention_rollout",
    "build_embed_map",
    "channel_energy",
    "choose_queries",
    "draw_cameras",
    "draw_cmc",
    "draw_dir",
    "draw_embed_map",
    "draw_precisions",
    "draw_rank_list",
    "draw_results",
    "draw_roc",
    "draw_runs",
    "draw_scores",
    "overlay",
    "pair_grad_cam",
    "read_evaluations",
    "read_runs",
    "read_thumbnail",
    "save_figure",
    "write_embed_map",
    "write_rank_pictures",
]
