"""What is done: the loop in plain Python. Nothing here imports Airflow."""
