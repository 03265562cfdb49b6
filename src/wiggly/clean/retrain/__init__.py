"""Closing the loop: the same recipe on cleaned data, and what that changed."""
