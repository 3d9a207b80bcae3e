"""Run .tflite files on whatever runtime this environment has; `measure.py` calls it.

    python runner.py < jobs.json

Jobs are [{"model": path, "function": its name where there are several, "rows": [{input: numbers of
batch 1, without that axis}]}]. Prints the runtime's name and version and for each job its outputs,
{name: nested lists} a row, or the runtime's reason for refusing the file.
"""

import json
import sys

import numpy as np

try:
    import tflite_runtime
    from tflite_runtime.interpreter import Interpreter

    NAME = f"tflite-runtime {tflite_runtime.__version__}"
except ImportError:
    import tensorflow

    Interpreter, NAME = tensorflow.lite.Interpreter, f"tensorflow {tensorflow.__version__}"


def run(job):
    try:
        runner = Interpreter(model_path=job["model"]).get_signature_runner(job.get("function"))
    except (ValueError, RuntimeError) as error:
        return {"refused": str(error).splitlines()[0]}
    names = runner.get_input_details()
    outputs = []
    for row in job["rows"]:
        given = {name: np.array([row[name]], each["dtype"]) for name, each in names.items()}
        found = runner(**given)
        outputs.append({name: value.tolist() for name, value in found.items()})
    return {"outputs": outputs}


print(json.dumps({"runtime": NAME, "found": [run(job) for job in json.load(sys.stdin)]}))
