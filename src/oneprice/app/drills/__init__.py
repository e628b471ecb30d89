"""Drills: misfortune on real sockets against twins, and a judge who asks the twins."""
