"""Ways to what lies outside: MLflow's server, Slack, files and tables that a model folder knows nothing of."""
