"""What zeekspy costs and how true it is, beside its peers, on real Zeeks: ``python -m tests.bench`` (make bench)."""
