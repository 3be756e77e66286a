"""The receiver: takes TalkPilot's webhooks, and stores each event in staging's inbox.

Needs the extra ``webhook``, and nothing of Airflow. ``app.make_app`` makes it from
``settings.ReceiverSettings``. It runs as a program, ``python -m
airflow_provider_talkpilot.webhook``, in a container, or in Airflow's API server.
"""
