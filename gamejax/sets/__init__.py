"""Strategy sets: where a player may be."""

from gamejax.sets._base import AbstractStrategySet as AbstractStrategySet
from gamejax.sets._simplex import Simplex as Simplex
