"""Solvers: how all players move together."""

from gamejax.solvers._base import AbstractSolver as AbstractSolver
