# make engine   install the ClickHouse engine library (needs npm, nothing else)
# make build    bin/whence (needs Go, nothing else)
# make demo     both, and an incident to look at; KEEP=1 leaves it running
# make test     everything that can be tested on this machine
# make lint     go vet, staticcheck, govulncheck, direction of dependencies
# make bench    the benchmarks, ten samples each; BENCH=regexp chooses
# make kills    KILLS (200) random kills of workers and the engine on a real Kafka
# make chaos    ROUNDS (200) faults of every kind, one after another, under OBSERVATIONS (20000000), DENSITY (400) of them a second of event time, RATE (2000) events a second meanwhile, with HORIZON (0: for ever) of memory, until BUDGET (0: however long they take) is spent; SEED chooses which
# make safeguards   the stories that need each safeguard, with and without it
# make accuracy  how well causes are ranked, by a running Whence, on recorded rollouts (RECORDED) and generated ones
# make weights   fit the weights that causes are ranked by anew
# make fuzz     every fuzz target for FUZZTIME (20s; 1000x: so many inputs)
# make generate what is generated from the code
# make clean    what the above made, but for the engine

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
.PHONY: engine build demo test lint bench kills chaos safeguards accuracy weights fuzz generate clean help

VERSION ?= 0.1.0-dev
COMMIT ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# Linters are pinned here and not in go.mod: what they depend on is none of the
# product's business.
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := go run golang.org/x/vuln/cmd/govulncheck@v1.9.0

FUZZTIME ?= 20s
KILLS ?= 200
SEED ?= 1
ROUNDS ?= 200
OBSERVATIONS ?= 20000000
HORIZON ?= 0
DENSITY ?= 400
RATE ?= 2000
BUDGET ?= 0
BENCH ?= .
RECORDED ?= ../shared/data/rollouts

# Packages that start other processes and kill them, or that only compute: the
# race detector sees nothing there, and makes them slow. Those that say how fast
# something gets well again, and those whose workers must answer a group in time,
# have the machine to themselves.
TIMED_TESTS := ./pipeline/pipelinetest/exactlyonce ./bench/chaos ./bench/rollouts ./bench/accuracy

help:
	@sed -n 's/^# \(make .*\)/\1/p' $(MAKEFILE_LIST)

engine: deploy/engine/node_modules/.package-lock.json

deploy/engine/node_modules/.package-lock.json: deploy/engine/package.json deploy/engine/package-lock.json
	cd deploy/engine && npm ci --no-audit --no-fund
	touch $@

build:
	go build -ldflags '$(LDFLAGS)' -o bin/whence ./cmd/whence

demo: engine build
	bin/whence demo $(if $(KEEP),--keep)

# The race detector needs a C compiler, which nothing else here does.
test: engine build
	@if command -v java >/dev/null && command -v mvn >/dev/null; \
	then echo "real Kafka: java and mvn are installed, its tests run"; \
	else echo "real Kafka: java or mvn is not installed, its tests do not run"; fi
	@race=-race; if ! command -v "$$(go env CC)" >/dev/null; \
	then race=; echo "race detector: no C compiler, tests run without it"; fi; \
	packages=$$(go list ./... | grep -vE '/(pipelinetest|chaos|rollouts|accuracy)(/|$$)'); \
	echo "go test $$race -shuffle=on (all packages but those that run processes)"; \
	go test $$race -shuffle=on -timeout 20m $$packages
	go test -p 2 -shuffle=on -timeout 30m $$(go list ./pipeline/pipelinetest/... | grep -v /exactlyonce)
	go test -p 1 -shuffle=on -timeout 30m $(TIMED_TESTS)

lint:
	@unformatted=$$(gofmt -l cmd pipeline processors schemas bench deploy/compose); \
	if [ -n "$$unformatted" ]; then echo "$$unformatted"; echo "lint: gofmt -w these files"; exit 1; fi
	go vet ./...
	$(STATICCHECK) ./...
	@echo '$(GOVULNCHECK) ./...'; out=$$($(GOVULNCHECK) ./... 2>&1) && echo "$$out" || \
	{ if grep -q 'fetching vulnerabilities' <<<"$$out"; \
	then echo "govulncheck: the vulnerability database can't be reached, nothing was checked"; \
	else echo "$$out"; exit 1; fi; }
	go test -count=1 -run 'Layers|Processors|Clients' ./pipeline

bench:
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count=10 ./bench/...

kills: engine
	WHENCE_KILLS=$(KILLS) go test -count=1 -v -timeout 60m ./pipeline/pipelinetest/exactlyonce

safeguards: engine
	go test -count=1 -v -timeout 1h -run TestTheHarness ./bench/chaos -args -safeguards 'no-intent|no-token|no-lock|no-revision-guard|no-reseal|no-announcement'

chaos: engine
	go test -count=1 -v -timeout 24h -run TestEveryTable ./bench/chaos -args -seed $(SEED) -rounds $(ROUNDS) -observations $(OBSERVATIONS) -horizon $(HORIZON) -density $(DENSITY) -rate $(RATE) -budget $(BUDGET)

accuracy: engine build
	go run ./bench/accuracy -recorded $(RECORDED) -pipeline bin/whence -statements -faults

weights:
	go run ./bench/accuracy -recorded $(RECORDED) -fit -faults

fuzz:
	@grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r file; do \
	  sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$$file" | while read -r name; do \
	    echo "$$(dirname "$$file") $$name"; \
	    go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null; \
	  done; \
	done

generate:
	go generate ./...

clean:
	rm -rf bin
	go clean -testcache
