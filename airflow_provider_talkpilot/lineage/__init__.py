"""Where data came from, for Airflow's assets and OpenLineage."""
