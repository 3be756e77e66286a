"""What data came from where, as Airflow's assets and OpenLineage tell it."""
