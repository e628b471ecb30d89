"""That this file stands here lets the tests of every twin import what stands beside it."""
