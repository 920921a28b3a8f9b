"""Strategy sets: where a player may be."""

from gamejax.sets._ball import Ball as Ball
from gamejax.sets._base import AbstractStrategySet as AbstractStrategySet
from gamejax.sets._box import Box as Box
from gamejax.sets._capped_simplex import CappedSimplex as CappedSimplex
from gamejax.sets._product import Product as Product
from gamejax.sets._simplex import Simplex as Simplex
from gamejax.sets._tree import Tree as Tree
from gamejax.sets._treeplex import Treeplex as Treeplex
from gamejax.sets._treeplex import balanced_weights as balanced_weights
from gamejax.sets._unconstrained import Unconstrained as Unconstrained
