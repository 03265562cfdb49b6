"""Rewrites every Python file in the house style, and repairs what the linter can repair by itself."""

from environment import call, prepare

if __name__ == "__main__":
    python = prepare(".venv", ["test"])
    call(python, "-m", "ruff", "check", "--fix")
    call(python, "-m", "ruff", "format")
