"""What pages are put together from: each builds its part from values, and reads nothing."""
