"""The contract of a model folder, its loader, and where things are."""
