"""Bundle the trace that training wrote of its validation rows, under a name of its own.

python experiments/splitee_2023/source.py TRACE OUT
"""

import sys
from pathlib import Path

import splitee

if __name__ == "__main__":
    trace, out = splitee.load_trace(sys.argv[1]), Path(sys.argv[2])
    trace.replace(name=out.stem).save(out, overwrite=True)
    print(f"wrote {out.name}: {trace.samples} samples")
