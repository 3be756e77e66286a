"""Google's BigQuery and Cloud Storage on this machine, as processes of their own."""
