"""Where this folder is Airflow's plugins folder; where the package is installed, its entry point says the same."""

from airflow_evergreen.plugin import EvergreenPlugin  # noqa: F401
