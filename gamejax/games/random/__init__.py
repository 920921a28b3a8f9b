"""Random games: families after GAMUT, pure functions of a key that `jit` and `vmap` take.

`jax.vmap(lambda key: games.random.zero_sum(key, (8, 8)))(keys)` is a batch of games, a leading axis
on every leaf. `suite()` lists named instances, `instance("zero_sum-16x16-7")` builds one.

References:
    nudelman2004.
"""

from gamejax.games.random._structured import congestion as congestion
from gamejax.games.random._structured import grab_the_dollar as grab_the_dollar
from gamejax.games.random._structured import location as location
from gamejax.games.random._structured import majority_voting as majority_voting
from gamejax.games.random._structured import polymatrix as polymatrix
from gamejax.games.random._structured import symmetric as symmetric
from gamejax.games.random._structured import war_of_attrition as war_of_attrition
from gamejax.games.random._structured import zero_sum_polymatrix as zero_sum_polymatrix
from gamejax.games.random._suite import instance as instance
from gamejax.games.random._suite import suite as suite
from gamejax.games.random._tensors import anti_coordination as anti_coordination
from gamejax.games.random._tensors import common_interest as common_interest
from gamejax.games.random._tensors import coordination as coordination
from gamejax.games.random._tensors import covariant as covariant
from gamejax.games.random._tensors import cyclic as cyclic
from gamejax.games.random._tensors import dominance_solvable as dominance_solvable
from gamejax.games.random._tensors import general_sum as general_sum
from gamejax.games.random._tensors import low_rank as low_rank
from gamejax.games.random._tensors import potential as potential
from gamejax.games.random._tensors import skew_symmetric as skew_symmetric
from gamejax.games.random._tensors import sparse as sparse
from gamejax.games.random._tensors import zero_sum as zero_sum
