# What a person types and what CI runs. `make` alone lists the targets.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS  = -X main.version=$(VERSION)
GO      ?= go
GOFMT    = $(shell $(GO) env GOROOT)/bin/gofmt

# The race detector needs a C compiler and the headers of its library. Without
# them the tests run without it, except in CI.
RACE     = $(shell [ "$$($(GO) env CGO_ENABLED)" = 1 ] && \
             printf '\043include <stdlib.h>\nint main(void) { return 0; }\n' | $$($(GO) env CC) -x c -o /dev/null - >/dev/null 2>&1 && echo -race)
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
	$(GO) build -buildvcs=false -trimpath -ldflags '$(LDFLAGS)' -o bin/limpet ./cmd/limpet

.PHONY: run
run: build ## start the gateway on embedded defaults (ARGS="--uplink echo" adds flags)
	exec bin/limpet serve $(ARGS)

.PHONY: test
test: ## run all tests, with the race detector where there is a C compiler
	@race='$(RACE)'; set -e; \
	if [ -z "$$race" ]; then \
	  echo "no C compiler that works: the tests run without the race detector"; \
	  if [ -n "$$CI" ]; then exit 1; fi; \
	fi; \
	for dir in . $(NESTED); do \
	  echo "$$dir: go test $$race -timeout $(TIMEOUT) ./..."; \
	  (cd $$dir && $(GO) test $$race -timeout $(TIMEOUT) ./...); \
	done

.PHONY: lint
lint: ## gofmt, go vet, staticcheck
	@unformatted=$$($(GOFMT) -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
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
