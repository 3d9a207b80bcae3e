"""Write the golden outputs anew: `python tests/golden/make.py`, after the parity suite passed."""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from families import SPECS, inputs_of, noisy  # noqa: E402

for family, spec in SPECS.items():
    outputs = noisy(family)(inputs_of(spec))
    rounded = {
        name: np.round(np.asarray(value, "float64"), 6).tolist() for name, value in outputs.items()
    }
    (HERE / f"{family}.json").write_text(json.dumps(rounded) + "\n")
