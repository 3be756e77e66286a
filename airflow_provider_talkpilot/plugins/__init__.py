"""Airflow plugin: the page "TalkPilot" in the user interface of Airflow 3."""
