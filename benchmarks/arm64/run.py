"""Outputs of a .tflite file for columns of its inputs, with NumPy and LiteRT alone.

    python run.py model.tflite

Reads lines {input: [numbers]} and writes for each a line {"outputs": {output: numbers, nested},
"seconds": of the run}.
"""

import json
import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def main():
    interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
    # A runner that stays alive holds the tensors, which then can't change their length.
    inputs = interpreter.get_signature_runner().get_input_details()
    outputs = interpreter.get_signature_runner().get_output_details()
    allocated = None
    for line in sys.stdin:
        row = json.loads(line)
        values = {name: np.array([row[name]], each["dtype"]) for name, each in inputs.items()}
        shape = next(iter(values.values())).shape
        if shape != allocated:
            for name in inputs:
                interpreter.resize_tensor_input(inputs[name]["index"], shape)
            interpreter.allocate_tensors()
            allocated = shape
        for name in inputs:
            interpreter.set_tensor(inputs[name]["index"], values[name])
        start = time.perf_counter()
        interpreter.invoke()
        seconds = time.perf_counter() - start
        found = {name: interpreter.get_tensor(outputs[name]["index"]) for name in outputs}
        found = {name: value.astype("float64").tolist() for name, value in found.items()}
        print(json.dumps({"outputs": found, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
