"""Read by every Airflow process as it starts."""

import airflow_evergreen.preload  # noqa: F401
