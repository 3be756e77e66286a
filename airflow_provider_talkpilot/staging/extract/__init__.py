"""Extraction: the list rows of an interval, from verified walks."""
