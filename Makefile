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
	@exec bin/limpet serve $(ARGS)

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

# Apache Kafka as Maven artifacts, pinned in the pom and run with the machine's
# Java. The same tests run on the embedded broker in `make test`.
KAFKA = $(CURDIR)/bin/kafka

$(KAFKA)/.fetched: bridge/kafkatest/pom.xml
	@mkdir -p $(KAFKA) && rm -f $(KAFKA)/*.jar
	mvn -B -q -f $< dependency:copy-dependencies -DoutputDirectory=$(KAFKA)
	@touch $@

.PHONY: test-kafka
test-kafka: $(KAFKA)/.fetched ## run the bridge's tests on Apache Kafka, and one with the broker away for a minute
	LIMPET_TEST_KAFKA_LIBS=$(KAFKA) LIMPET_TEST_OUTAGE=60s $(GO) test -timeout $(TIMEOUT) ./bridge

.PHONY: test-browser
test-browser: build ## try the dashboard in headless Chromium (needs node, npm and chromium)
	cd internal/dashboard/browser && npm ci --silent --no-audit --no-fund && LIMPET=$(CURDIR)/bin/limpet npm test --silent

.PHONY: lint
lint: ## gofmt, go vet, staticcheck
	@unformatted=$$($(GOFMT) -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
	  if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@set -e; for dir in $(NESTED); do echo "module $$dir:"; (cd $$dir && $(GO) vet ./...); done

.PHONY: vuln
vuln: ## look for known vulnerabilities in what the code calls (VULNDB=URL for another database)
	.ci/vuln . $(NESTED)

# Results are kept as text, JSON and a page with charts.
RESULTS ?= bench/results
# measure NAME,SCENARIO AND ARGUMENTS
define measure
	@mkdir -p $(RESULTS)
	set -o pipefail; bin/limpet bench $(2) --json $(RESULTS)/$(1).json --html $(RESULTS)/$(1).html | tee $(RESULTS)/$(1).txt
endef
bench bench-bridge bench-fanout bench-200k bench-1m: SHELL = bash

.PHONY: baselines
baselines: ## build the servers that the benchmark compares with, in bin/baseline
	cd bench/baseline && $(GO) build -buildvcs=false -trimpath -o ../../bin/baseline/ ./nethttp ./gin ./echo ./gnet

.PHONY: bench
bench: build baselines ## measure idle, echo and fanout against gorilla servers and bare gnet (minutes)
	$(call measure,idle,idle --spawn limpet$(comma)nethttp$(comma)gin$(comma)echo$(comma)nethttp-1g$(comma)gnet)
	$(call measure,echo,echo --spawn limpet$(comma)nethttp$(comma)gin$(comma)echo$(comma)gnet)
	$(call measure,fanout,fanout --spawn limpet$(comma)nethttp$(comma)gin$(comma)echo$(comma)gnet)
comma = ,

.PHONY: bench-bridge
bench-bridge: ## measure messages per second into Kafka, and the way of a push (minutes)
	@mkdir -p $(RESULTS) bin
	$(GO) test -c -o bin/limpet.test ./cmd/limpet
	set -o pipefail; bench/bridge.sh bin/limpet.test | tee $(RESULTS)/bridge.txt

.PHONY: bench-fanout
bench-fanout: build ## measure a fan-out to 15,000 sessions for ten minutes
	$(call measure,fanout-15k,fanout --spawn limpet --conns 15000 --duration 5m --limpet-args '--broker-size 8MiB')

# What the host lacks for these, descriptors or memory, is said before the start.
.PHONY: bench-observe
bench-observe: SHELL = bash
bench-observe: build ## measure what it costs to be scraped, shown and logged: CPU in pairs, memory by slopes
	$(call measure,observe-cpu,watched --spawn limpet --steps 22)
	$(call measure,observe-memory,idle --spawn limpet$(comma)limpet-watched --conns 60000 --steps 8 --rounds 2)

.PHONY: bench-200k
bench-200k: build ## measure 200,000 idle sessions in one process
	$(call measure,idle-200k,idle --spawn limpet --conns 200000 --rounds 1 --steps 8 --rate 10000 --timeout 30s)

# Pings of a million idle sessions every 25 s take more than a core of both
# sides together; they are put off so that small hosts can hold them.
.PHONY: bench-1m
bench-1m: build ## measure 1,000,000 idle sessions in one process
	$(call measure,idle-1m,idle --spawn limpet --conns 1000000 --rounds 1 --steps 5 --rate 10000 --timeout 2m --limpet-args '--heartbeat 10m --heartbeat-grace 5m')

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (20s) each
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; done

.PHONY: docs
docs: ## renew the tables in README.md that are made from code
	$(GO) test ./cmd/limpet -run TestReadmeTables -update
	$(GO) test ./sysctl -run TestReadmeSection -update

.PHONY: clean
clean: ## remove what build made
	rm -rf bin
