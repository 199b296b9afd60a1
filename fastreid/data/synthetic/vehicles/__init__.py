"""Vehicles drawn from attributes: blocks in space with windows, lights, wheels and stickers on them."""

from __future__ import annotations

from .coachwork import draw_vehicle
from .vehicle import Vehicle, sample_vehicle, sample_vehicles
from .view import View

__all__ = ["Vehicle", "View", "draw_vehicle", "sample_vehicle", "sample_vehicles"]
