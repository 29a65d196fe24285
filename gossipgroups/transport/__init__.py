"""Where the protocol meets the world: sockets, clocks and threads."""
