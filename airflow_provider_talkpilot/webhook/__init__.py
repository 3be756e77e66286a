"""The receiver: it takes TalkPilot's webhooks, and stores each event in staging's inbox.

It needs the extra ``webhook``, and nothing of Airflow. It runs as a program (``python -m
airflow_provider_talkpilot.webhook``), in a container, or in Airflow's API server.
"""
