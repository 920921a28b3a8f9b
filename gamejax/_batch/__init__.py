"""Thousands of games at once, driven from the host."""

from gamejax._batch._checkpoint import Checkpoint as Checkpoint
from gamejax._batch._front import solve_batch as solve_batch
