"""What the portal costs at the size that it must hold, measured against references in the same run (docs/scaling.md).

`make bench` and `make bench-quick`. Nothing of the product imports this; the reference views live in
`bench.reference` and are served by the benchmark's own addresses only.
"""
