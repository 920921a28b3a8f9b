"""Named trees: one function each, with what is known of their equilibria."""

from gamejax.extensive.library._classics import centipede as centipede
from gamejax.extensive.library._classics import matching_pennies as matching_pennies
from gamejax.extensive.library._classics import seltens_horse as seltens_horse
from gamejax.extensive.library._goofspiel import goofspiel as goofspiel
from gamejax.extensive.library._liars_dice import liars_dice as liars_dice
from gamejax.extensive.library._off_switch import off_switch as off_switch
from gamejax.extensive.library._off_switch import off_switch_incentive as off_switch_incentive
from gamejax.extensive.library._poker import kuhn as kuhn
from gamejax.extensive.library._poker import leduc as leduc
from gamejax.extensive.library._signaling import beer_quiche as beer_quiche
from gamejax.extensive.library._signaling import signaling as signaling
