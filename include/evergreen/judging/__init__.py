"""Judging: the champion, the holdout, the interval of an error, the gate, and when an attempt is due."""
