"""The questions of the lessons, and what lessons and sections there are."""
