# Two commands for newcomers: `make demo` and `make test`. `make help` lists the rest.

CARGO ?= cargo
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-rate lint bench evaluate clean-demo

help: ## Lists the commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Installs what compiling the plugins needs; every other command does it first.
	@plugins/bundle/setup.sh

build: setup ## Builds the program, optimized, as target/release/casbah.
	$(CARGO) build --release -p casbah -p smartsheet-sim -p casbah-demo

demo: build ## Connects to three simulated apps, fetches weeks of a made-up company, shows what was found.
	@tests/demo.sh

test: setup ## Runs all tests.
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run --workspace
else
	$(CARGO) test --workspace --lib --bins --tests
endif
	$(CARGO) test --workspace --doc --quiet

test-rate: setup ## Runs the tests that take real minutes: rate limits, and measurements.
	$(CARGO) test --release --workspace --tests -- --ignored

lint: setup ## Checks format and lints.
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

bench: build ## Runs the benchmarks; results also in target/bench.json.
	$(CARGO) run --release -p casbah-bench

evaluate: setup ## Measures the built-in detections in made-up companies: tables, target/evaluate.
	$(CARGO) run --release -p casbah-evaluate

clean-demo: ## Removes what the demo left.
	rm -rf target/demo
