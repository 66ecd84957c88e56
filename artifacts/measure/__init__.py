"""Time a served model: load, statistics and the protocol that makes a figure defensible."""
