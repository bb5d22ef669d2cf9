"""Checks: expectations, drift, outcomes, thresholds."""
