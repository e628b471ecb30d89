"""What a person types: one small file per group of commands."""
