"""Rewrites every Python and TypeScript file in the house style; what the linter can repair, it repairs."""

from environment import call, prepare

if __name__ == "__main__":
    python = prepare(".venv", ["test"])
    call(python, "-m", "ruff", "check", "--fix")
    call(python, "-m", "ruff", "format")
    call(python, "scripts/web.py", "--format")
