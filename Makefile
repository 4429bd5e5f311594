# Everything here needs Go alone; what is fetched or built for it goes to .cache/, which git ignores.
GO       ?= go
PKG      ?= ./...
FUZZTIME ?= 10s
BENCH    ?= .
SHELL    := /bin/sh
CACHE    := $(CURDIR)/.cache
LINTER   := $(CACHE)/golangci-lint
WITH     := $(CACHE)/engines/with

.PHONY: all build test vet lint bench bench-store bench-scim fuzz clean

all: test

## build: the program, static, as ./portico
build:
	@echo '==> build'
	$(GO) build ./...
	CGO_ENABLED=0 $(GO) build -trimpath -o portico ./cmd/portico

## test: build, vet, lint, then every test: the dependency rule, conformance, the whole program; on real databases where
## they are named, can be started or installed, which happens meanwhile (see internal/engines)
test:
	$(GO) build -o $(WITH) ./internal/engines/with
	@if CGO_ENABLED=1 $(GO) build -race runtime/cgo 2>/dev/null; \
	then export CGO_ENABLED=1 race=-race; echo '==> with the race detector'; \
	else export CGO_ENABLED=0 race=; echo '==> without the race detector: it needs a C compiler that works'; fi; \
	exec $(WITH) -while '$(MAKE) --no-print-directory build vet lint' -- \
		$(GO) test $$race -vet=off -shuffle=on -timeout 20m $(PKG)

vet:
	@echo '==> vet'
	$(GO) vet ./...

## lint: golangci-lint, in the version of tools/go.mod; the first run builds it
lint: $(LINTER)
	@echo '==> lint'
	GOLANGCI_LINT_CACHE=$(CACHE)/lint $(LINTER) run ./...

$(LINTER): tools/go.mod tools/go.sum
	@echo '==> build golangci-lint (once; some minutes)'
	CGO_ENABLED=0 $(GO) -C tools build -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

## bench: the benchmarks as a table; BENCH=Login picks some
bench:
	@$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 30m \
		$$(grep -rl --include='*_test.go' '^func Benchmark' [a-z]* | xargs -n1 dirname | sort -u | sed 's|^|./|') 2>&1 \
		| awk -f tools/benchtable.awk

## bench-store: the storage port on every engine that is named, can be started or installed
bench-store:
	@$(GO) build -o $(WITH) ./internal/engines/with && exec $(WITH) -- $(GO) run ./internal/benchstore

## bench-scim: SCIM with three sizes of a directory, on SQLite and, where it can be had, Postgres
bench-scim:
	@$(GO) build -o $(WITH) ./internal/engines/with && exec $(WITH) -- $(GO) run ./internal/benchscim

## fuzz: every fuzz target for FUZZTIME
fuzz:
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' [a-z]* | sed 's|/[^/]*:func | |' | sort -u | \
	while read -r dir target; do \
		echo "==> fuzz $$dir $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) ./$$dir || exit 1; \
	done

clean:
	rm -rf $(CACHE) portico
