"""Analysis of games: pure and symmetric equilibria, dominance, stability, potentials.

These work on payoffs at pure action profiles; games that hold no payoff tensor are asked for them.
"""

from gamejax.games._dominance import Dominance as Dominance
from gamejax.games._dominance import iterated_dominance as iterated_dominance
from gamejax.games._potential import Potential as Potential
from gamejax.games._potential import potential as potential
from gamejax.games._pure import pure_equilibria as pure_equilibria
from gamejax.games._pure import pure_gains as pure_gains
from gamejax.games._symmetric_equilibria import is_evolutionarily_stable as is_evolutionarily_stable
from gamejax.games._symmetric_equilibria import symmetric_equilibria as symmetric_equilibria
