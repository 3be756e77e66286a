"""Choose the past days that a re-sync reads again, and remember which were read; no Airflow."""
