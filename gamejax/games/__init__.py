"""Games: what each player gains, given a profile."""

from gamejax.games._base import AbstractGame as AbstractGame
from gamejax.games._base import Labels as Labels
from gamejax.games._matrix import MatrixGame as MatrixGame
from gamejax.games._normal_form import NormalFormGame as NormalFormGame
from gamejax.games._normal_form import bimatrix as bimatrix
