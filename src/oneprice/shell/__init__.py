"""The thin asynchronous shell: sockets, HTTP, timers, pacing; it decides nothing about trading."""
