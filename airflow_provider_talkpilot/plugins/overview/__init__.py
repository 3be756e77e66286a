"""From the tasks that ran to the figures that the page shows, without Airflow."""
