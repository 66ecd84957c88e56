"""Time a served model: load, statistics and the protocol that makes a figure defensible.

`campaign.measure` measures one served model; `results` keeps what it found. Standard library only.
"""
