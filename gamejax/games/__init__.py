"""Games: what each player gains, given a profile."""

from gamejax.games._base import AbstractGame as AbstractGame
from gamejax.games._base import Labels as Labels
from gamejax.games._files import dumps as dumps
from gamejax.games._files import load as load
from gamejax.games._files import loads as loads
from gamejax.games._files import save as save
from gamejax.games._gambit_tokens import GameFileError as GameFileError
from gamejax.games._matrix import MatrixGame as MatrixGame
from gamejax.games._normal_form import NormalFormGame as NormalFormGame
from gamejax.games._normal_form import bimatrix as bimatrix
