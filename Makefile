# What a developer needs. `make test` is what CI runs.

GO ?= go

.PHONY: build lint test test-unit interop fuzz

# Without C the program is one static file, and all its memory is Go's to give back.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -o cloudpal ./cmd/cloudpal

# Formatting, vet and staticcheck, for both modules.
lint:
	@test -z "$$(gofmt -l . | grep -v node_modules)" || { gofmt -l . | grep -v node_modules; echo "run gofmt -w on these files"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	cd interop && $(GO) vet ./...

test: lint test-unit interop

test-unit:
	$(GO) test -race -timeout 40m ./...

# The JavaScript stack as referee. npm installs exactly what the lock file says.
interop: interop/node_modules/.package-lock.json
	cd interop && $(GO) test -timeout 40m -count=1 ./...

interop/node_modules/.package-lock.json: interop/package-lock.json
	cd interop && npm ci --no-audit --no-fund

# Every fuzz target for FUZZTIME each. Inputs are made small by a few tries only: where coverage changes from run to run,
# as with a database below, more tries lead nowhere and eat the time.
FUZZTIME ?= 30s
FUZZMINIMIZE ?= 20x
fuzz:
	@for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime $(FUZZMINIMIZE) $$pkg || exit 1; \
		done; \
	done
