"""One function per task of a DAG, under the task's own name. Each is idempotent: its record, once put, stands."""
