"""Which past days a re-sync reads again, and what it remembers of earlier ones; without Airflow."""
