"""Airflow plugin: the page "TalkPilot", the receiver of webhooks, and the weight rule."""
