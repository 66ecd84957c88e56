"""The embedded AWS: a moto server, the strict layer over it, and hosts that really execute."""
