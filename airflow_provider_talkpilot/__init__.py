"""Airflow provider that keeps a BigQuery table equal to TalkPilot's call records."""

__version__ = "0.1.0"
