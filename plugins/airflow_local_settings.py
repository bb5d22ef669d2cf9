"""Read by every Airflow process as it starts: where tasks are forked, what they import is imported before the fork.

A task then begins within half a second instead of ten. Nothing is run here: a Rust or OpenMP runtime that is used
before a fork may hang in the child.
"""

import gc
import os
import sys

# On batches of this size the threads of numeric libraries cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if {"scheduler", "worker", "standalone"} & set(sys.argv[1:3]):
    import include.checks.html
    import include.steps.ask_retraining
    import include.steps.check_drift
    import include.steps.close_verdict
    import include.steps.ingest_batch
    import include.steps.ingest_labels
    import include.steps.judge_model
    import include.steps.promote_model
    import include.steps.register_model
    import include.steps.score_batch
    import include.steps.send_alerts
    import include.steps.train_model
    import include.steps.validate_batch
    import include.steps.validate_labels
    import include.steps.wait_for_batch  # noqa: F401

    # What is there now stays; collections in a child would copy its pages for nothing.
    gc.freeze()
