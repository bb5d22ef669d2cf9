"""The baseline: the best constant, packed like any version. Its files are copied into the packed model."""
