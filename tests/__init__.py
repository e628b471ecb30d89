"""The tests: they mirror the source, and speak in sentences."""
