"""Collaborative filtering: from ratings to who would like what."""
