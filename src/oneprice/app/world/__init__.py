"""The world: shell, engine, dialects and twins in one thread of virtual time, from a seed."""
