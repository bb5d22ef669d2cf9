"""Judging: losses, the interval, the gate, and when an attempt is due."""
