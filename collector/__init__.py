"""The central side: stores what devices send, acknowledges it, shows it."""
