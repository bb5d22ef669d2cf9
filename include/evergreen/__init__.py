"""Continuous training in plain Python: what is done. Nothing here imports Airflow."""
