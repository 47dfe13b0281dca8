# Everything a developer types. CI runs .ci/run, which calls the same.
.PHONY: build test lint bench peers demo
build:
	CGO_ENABLED=0 go build -trimpath -o snapcase ./cmd/snapcase
test:
	go test ./...
lint:
	go vet ./... && golangci-lint run ./...
bench:
	go test -run '^$$' -bench . -benchtime 1x ./...
demo:
	go run ./cmd/snapcase demo
# Beside what examiners use today, as ratios; needs root and 12 GB in DIR.
peers:
	sh testdata/peers.sh $(DIR)
