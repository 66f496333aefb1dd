# Every target sets up what it needs; `make` alone lists them.
VENV := .venv
PYTHON := $(VENV)/bin/python
PROTOS := $(wildcard proto/partita/v1/*.proto proto/inference/*.proto)

.PHONY: help
help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

.PHONY: install
install: $(VENV)/.installed ## create .venv with everything a developer needs

$(VENV)/.installed: pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable '.[node,models,planner,pictures,traces,vision,lab,demo,development]'
	@touch $@

.PHONY: demo
demo: install ## a trained model on three servers, with pictures
	$(PYTHON) -m examples.demo

.PHONY: test
test: install ## unit, integration and system tests
	$(PYTHON) -m pytest

.PHONY: lint
lint: install ## style, types, import contracts, contract lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	cd proto && ../$(VENV)/bin/buf lint

.PHONY: generate
generate: install ## partita/v1 from proto/
	rm -f partita/v1/*_pb2*
	$(PYTHON) -m grpc_tools.protoc -I partita/v1=proto/inference -I proto --plugin=protoc-gen-mypy=$(VENV)/bin/protoc-gen-mypy \
		--plugin=protoc-gen-mypy_grpc=$(VENV)/bin/protoc-gen-mypy_grpc \
		--python_out=. --grpc_python_out=. --mypy_out=. --mypy_grpc_out=only_async:. $(PROTOS)

.PHONY: drift
drift: generate ## fail where checked-in generated code differs from proto/
	git diff --exit-code --stat -- partita/v1
	@test -z "$$(git status --porcelain -- partita/v1)"

.PHONY: clean
clean: ## remove the environment and what was built
	rm -rf $(VENV) build *.egg-info demo-output
