"""What is kept: tapes of everything that came in, recordings made by others, the journal."""
