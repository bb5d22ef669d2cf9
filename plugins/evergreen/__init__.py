"""How a step becomes an Airflow task."""
