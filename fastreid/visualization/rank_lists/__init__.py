"""Rank lists as pictures: what is shown, how it is drawn, which queries, and the whole run of the tool."""

from __future__ import annotations

from .rank_cells import Look
from .rank_list import draw_rank_list
from .rank_pictures import choose_queries, write_rank_pictures

__all__ = ["Look", "choose_queries", "draw_rank_list", "write_rank_pictures"]
