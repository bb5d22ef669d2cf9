"""The in-process runner, and the report of what it did."""
