"""How near tensors come to the speed of a raw socket."""
