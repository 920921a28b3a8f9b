"""Bandits."""

from gamejax.bandits._environments import Bernoulli as Bernoulli
from gamejax.bandits._policy import Policy as Policy
from gamejax.bandits._simulate import simulate as simulate
from gamejax.bandits._log import BanditLog as BanditLog
from gamejax.bandits._off_policy import Estimate as Estimate
from gamejax.bandits._off_policy import direct_method as direct_method
from gamejax.bandits._off_policy import doubly_robust as doubly_robust
from gamejax.bandits._off_policy import effective_size as effective_size
from gamejax.bandits._off_policy import importance_weights as importance_weights
from gamejax.bandits._off_policy import inverse_propensity as inverse_propensity
from gamejax.bandits._off_policy import self_normalized as self_normalized
from gamejax.bandits._off_policy import switch as switch
from gamejax.bandits._off_policy import switch_doubly_robust as switch_doubly_robust
from gamejax.bandits._open_bandit import OpenBandit as OpenBandit
from gamejax.bandits._open_bandit import load_open_bandit as load_open_bandit
from gamejax.bandits._portfolio import PortfolioMetrics as PortfolioMetrics
from gamejax.bandits._portfolio import portfolio_metrics as portfolio_metrics
from gamejax.bandits._reward_model import fit_rewards as fit_rewards
