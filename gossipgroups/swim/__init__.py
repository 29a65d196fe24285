"""Who is alive: SWIM (DSN 2002) with Lifeguard's refinements (arXiv 1707.00788). Pure."""
