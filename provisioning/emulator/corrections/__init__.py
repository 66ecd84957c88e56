"""The places where moto says yes and AWS says no, one module per service."""
