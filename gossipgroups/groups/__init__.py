"""Groups: the replica, and the views that are computed from it. Pure: no clock, no socket, no chance."""
