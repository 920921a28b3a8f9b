"""Many distributions: one predictor that is good on every one, from few samples."""
