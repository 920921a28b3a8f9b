"""Calibration: measures of it, and forecasters that have it for every group at once."""
