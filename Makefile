# Thin on purpose: every target is one script, which runs the same without make (see README).
#   make demo            the main job on real data, ends by serving the app     (SERVE=0 stops before, PORT=8000)
#   make test            every check                                            (make test-all adds the slow tests)
#   make bench           the benchmarks beside their peers
#   PYTHON=/path/to/python3.12 picks the Python; otherwise scripts/python finds one.

RUN = PYTHON="$(PYTHON)" sh scripts/python

.PHONY: demo test test-all bench format clean

demo:
	@SERVE="$(SERVE)" PORT="$(PORT)" $(RUN) scripts/demo.py

test:
	@$(RUN) scripts/test.py

test-all:
	@$(RUN) scripts/test.py --slow

bench:
	@$(RUN) scripts/bench.py

format:
	@$(RUN) scripts/format.py

clean:
	rm -rf .venv .venv-bench digits digits.wiggly report.html
