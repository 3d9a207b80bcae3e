"""The faults of Keras that kzoo works round are still there: upstream/README.md."""

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "upstream"
# One process for all: TensorFlow takes seconds to begin.
RUN = """
import runpy, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
for path in sys.argv[1:]:
    try:
        runpy.run_path(path)
        print("ENDED", path, None)
    except SystemExit as end:
        print("ENDED", path, end.code)
"""


def test_each_fault_is_still_there_and_on_the_page():
    """Where one is mended, the hook that the page names beside it can go, and its script."""
    scripts = sorted(FOLDER.glob("*.py"))
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+\.py)` \|", page, re.MULTILINE)
    assert sorted(named) == [path.name for path in scripts]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, scripts)], capture_output=True, text=True, check=True
    )
    ends = dict(re.findall(r"ENDED \S*?(\w+\.py) (\w+)", done.stdout))
    assert ends == {path.name: "1" for path in scripts}, done.stdout
