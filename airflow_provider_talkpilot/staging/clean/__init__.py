"""Cleaning: deletes from staging what is loaded, purged or abandoned."""
