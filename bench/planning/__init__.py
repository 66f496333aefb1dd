"""Planning times: the exact method, the tight integer program and the thesis's own program, side by side."""
