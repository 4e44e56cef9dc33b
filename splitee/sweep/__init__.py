"""Sweeps: replays of a grid of traces, costs, devices and policies, resumable, on this machine or on Ray."""

from splitee.sweep.grid import Cell, Grid, read_grid
from splitee.sweep.running import Sweep, play_cell, play_on, sweep

__all__ = ["Cell", "Grid", "Sweep", "play_cell", "play_on", "read_grid", "sweep"]
