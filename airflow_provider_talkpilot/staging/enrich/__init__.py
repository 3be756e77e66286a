"""Enrichment: fetches the details of the calls that an extraction staged."""
