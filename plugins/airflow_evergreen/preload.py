"""What ``airflow_local_settings.py`` imports: where tasks are forked, what they import is there before the fork.

Airflow reads that file in each of its processes as they start; ``import airflow_evergreen.preload`` is all it needs.
A task then begins within half a second instead of ten. Nothing is run here: a Rust or OpenMP runtime that is used
before a fork may hang in the child.
"""

import gc
import os
import sys

# On batches of this size the threads of numeric libraries cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if {"scheduler", "worker", "standalone"} & set(sys.argv[1:3]):
    import evergreen.checks.html
    import evergreen.steps.ask_retraining
    import evergreen.steps.check_drift
    import evergreen.steps.close_verdict
    import evergreen.steps.ingest_batch
    import evergreen.steps.judge_model
    import evergreen.steps.promote_model
    import evergreen.steps.register_model
    import evergreen.steps.score_batch
    import evergreen.steps.send_alerts
    import evergreen.steps.train_model
    import evergreen.steps.validate_batch
    import evergreen.steps.wait_for_batch  # noqa: F401

    # What is there now stays; collections in a child would copy its pages for nothing.
    gc.freeze()
