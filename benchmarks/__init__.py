"""What we claim, measured. See README.md in this folder."""
