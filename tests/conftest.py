"""What every test needs before a numeric library loads."""

import os

# Two processes on two cores, each with one thread: more threads would only spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No test may touch what a person has run here.
for name in ("EVERGREEN_HOME", "EVERGREEN_LAKE", "EVERGREEN_LANDING", "EVERGREEN_MODELS", "MLFLOW_TRACKING_URI"):
    os.environ.pop(name, None)
