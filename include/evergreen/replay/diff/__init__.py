"""`evergreen replay-diff`: a model folder as it is and as it was at a git ref, replayed and compared."""
