# The two commands of this repository. Each first installs what is missing (tools/setup), then
# calls a task of tools/xtask.

.PHONY: demo test ci help

help:
	@echo "make demo   watch curl fetch pages from nginx through Weirgate; needs no NIC"
	@echo "make test   all checks and tests, as CI runs them"

demo:
	@tools/setup
	@cargo xtask demo

test:
	@tools/setup --with-cargo-tools
	@cargo xtask ci

ci: test
