"""Learners: how one player moves on."""

from gamejax.learners._base import AbstractLearner as AbstractLearner
