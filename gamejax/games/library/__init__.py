"""Named games: one function each, with known equilibria.

`names()` lists them, `all_games()` builds them all, `known_equilibria(name)` gives their Nash
equilibria and `entry(name)` whatever else is known. To add a game, write its function under the
decorator `classic`. Smooth games on unbounded sets (`bilinear`, `quadratic`, `dirac_gan`, `tandem`,
`linear_quadratic`) are beside that list, since their solvers and certificates are others.
"""

from gamejax.games.library._many_players import braess as braess
from gamejax.games.library._many_players import diners_dilemma as diners_dilemma
from gamejax.games.library._many_players import el_farol as el_farol
from gamejax.games.library._many_players import guess_two_thirds as guess_two_thirds
from gamejax.games.library._many_players import jordan as jordan
from gamejax.games.library._many_players import market_entry as market_entry
from gamejax.games.library._many_players import minority_game as minority_game
from gamejax.games.library._many_players import pigou as pigou
from gamejax.games.library._many_players import public_goods as public_goods
from gamejax.games.library._many_players import tragedy_of_the_commons as tragedy_of_the_commons
from gamejax.games.library._many_players import volunteers_dilemma as volunteers_dilemma
from gamejax.games.library._registry import Classic as Classic
from gamejax.games.library._registry import all_games as all_games
from gamejax.games.library._registry import entry as entry
from gamejax.games.library._registry import known_equilibria as known_equilibria
from gamejax.games.library._registry import names as names
from gamejax.games.library._smooth import bilinear as bilinear
from gamejax.games.library._smooth import dirac_gan as dirac_gan
from gamejax.games.library._smooth import linear_quadratic as linear_quadratic
from gamejax.games.library._smooth import quadratic as quadratic
from gamejax.games.library._smooth import tandem as tandem
from gamejax.games.library._two_by_two import battle_of_the_sexes as battle_of_the_sexes
from gamejax.games.library._two_by_two import chicken as chicken
from gamejax.games.library._two_by_two import coordination as coordination
from gamejax.games.library._two_by_two import deadlock as deadlock
from gamejax.games.library._two_by_two import entry_deterrence as entry_deterrence
from gamejax.games.library._two_by_two import hawk_dove as hawk_dove
from gamejax.games.library._two_by_two import inspection as inspection
from gamejax.games.library._two_by_two import prisoners_dilemma as prisoners_dilemma
from gamejax.games.library._two_by_two import stag_hunt as stag_hunt
from gamejax.games.library._two_players import all_pay_auction as all_pay_auction
from gamejax.games.library._two_players import bad_rock_paper_scissors as bad_rock_paper_scissors
from gamejax.games.library._two_players import bertrand as bertrand
from gamejax.games.library._two_players import centipede as centipede
from gamejax.games.library._two_players import (
    chaotic_rock_paper_scissors as chaotic_rock_paper_scissors,
)
from gamejax.games.library._two_players import cournot as cournot
from gamejax.games.library._two_players import pure_coordination as pure_coordination
from gamejax.games.library._two_players import shapley as shapley
from gamejax.games.library._two_players import travelers_dilemma as travelers_dilemma
from gamejax.games.library._two_players import ultimatum as ultimatum
from gamejax.games.library._zero_sum import biased_matching_pennies as biased_matching_pennies
from gamejax.games.library._zero_sum import biased_rock_paper_scissors as biased_rock_paper_scissors
from gamejax.games.library._zero_sum import colonel_blotto as colonel_blotto
from gamejax.games.library._zero_sum import cyclic as cyclic
from gamejax.games.library._zero_sum import hide_and_seek as hide_and_seek
from gamejax.games.library._zero_sum import kicker_goalie as kicker_goalie
from gamejax.games.library._zero_sum import matching_pennies as matching_pennies
from gamejax.games.library._zero_sum import mendelsohn as mendelsohn
from gamejax.games.library._zero_sum import morra as morra
from gamejax.games.library._zero_sum import rock_paper_scissors as rock_paper_scissors
from gamejax.games.library._zero_sum import (
    rock_paper_scissors_lizard_spock as rock_paper_scissors_lizard_spock,
)
from gamejax.games.library._zero_sum import slow_oftrl as slow_oftrl
from gamejax.games.library._zero_sum import (
    weighted_rock_paper_scissors as weighted_rock_paper_scissors,
)

three_player_matching_pennies = jordan
"""Jordan's game under its other name."""
