"""Ideas to play with: explorables that run in a notebook, in a plain page, and on your own run."""
