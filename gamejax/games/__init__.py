"""Games: what each player gains, given a profile."""

from gamejax.games import analysis as analysis
from gamejax.games import library as library
from gamejax.games import random as random
from gamejax.games._base import AbstractGame as AbstractGame
from gamejax.games._base import Labels as Labels
from gamejax.games._congestion import CongestionGame as CongestionGame
from gamejax.games._continuous import ContinuousGame as ContinuousGame
from gamejax.games._files import dumps as dumps
from gamejax.games._files import load as load
from gamejax.games._files import loads as loads
from gamejax.games._files import save as save
from gamejax.games._gambit_tokens import GameFileError as GameFileError
from gamejax.games._matrix import MatrixGame as MatrixGame
from gamejax.games._normal_form import NormalFormGame as NormalFormGame
from gamejax.games._normal_form import bimatrix as bimatrix
from gamejax.games._polymatrix import PolymatrixGame as PolymatrixGame
from gamejax.games._symmetric import SymmetricGame as SymmetricGame
from gamejax.games._symmetric import count_vectors as count_vectors
from gamejax.games._transform import normalized as normalized
from gamejax.games._transform import pad_games as pad_games
from gamejax.games._transform import smoothed as smoothed
from gamejax.games._transform import to_normal_form as to_normal_form
