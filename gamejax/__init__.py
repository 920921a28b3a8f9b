"""gamejax: batched, differentiable game solving in JAX."""
