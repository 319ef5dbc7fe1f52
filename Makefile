# What a person types and what CI runs. `make` alone lists the targets.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS  = -X main.version=$(VERSION)
GO      ?= go

# The race detector needs a C compiler. Without one the tests run without it.
RACE    := $(shell command -v "$$($(GO) env CC | cut -d' ' -f1)" >/dev/null 2>&1 && echo -race)
# Longest time for the tests of one package.
TIMEOUT ?= 5m
# Time for each fuzz target of `make fuzz`.
FUZZTIME ?= 20s
# More arguments for `make run`, as ARGS="--uplink echo".
ARGS    ?=

# Nested modules, each with a go.mod of its own.
NESTED  := $(patsubst %/go.mod,%,$(wildcard */go.mod */*/go.mod))

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/limpet
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/limpet ./cmd/limpet

.PHONY: run
run: build ## start the gateway on embedded defaults (ARGS="--uplink echo" adds flags)
	exec bin/limpet serve $(ARGS)

.PHONY: test
test: ## run all tests, with the race detector where there is a C compiler
	@$(if $(RACE),,echo "no C compiler found: the tests run without the race detector")
	$(GO) test $(RACE) -timeout $(TIMEOUT) ./...
	@set -e; for dir in $(NESTED); do echo "module $$dir:"; (cd $$dir && $(GO) test $(RACE) -timeout $(TIMEOUT) ./...); done

.PHONY: lint
lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
	  if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@set -e; for dir in $(NESTED); do echo "module $$dir:"; (cd $$dir && $(GO) vet ./...); done

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (20s) each
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; done

.PHONY: docs
docs: ## renew the configuration table in README.md
	$(GO) test ./internal/config -run TestReadmeTable -update

.PHONY: clean
clean: ## remove what build made
	rm -rf bin
