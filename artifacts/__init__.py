"""What a compiled model is: how it is made, opened, served and timed. This part travels to the hosts."""
