"""The strategies: pure objects that propose; each one file, built on the contract alone."""
