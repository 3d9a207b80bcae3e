"""Where the time of kzoo's files of pictures goes, by kind of operator inside XNNPACK.

    python benchmarks/vision_latency/operators.py [--rounds 9] [--files FOLDER] [--output FILE]

LiteRT's profiler tells how long each operator runs that XNNPACK took over. Its C interface has it,
the interpreter of Python hasn't, so the library is called by ctypes. Shares are those of the time
in all operators on one thread. Of each operator the least time of all rounds counts, because the
clock also runs while other processes do. FOLDER is that of `measure.py`, which makes the files.
"""

import argparse
import collections
import ctypes
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import ai_edge_litert
import measure
from provenance import provenance

CPU = 1  # of LiteRtHwAccelerators
WRITE = 1  # of LiteRtTensorBufferLockMode
IN_DELEGATE = 8  # of LiteRtProfilerEventType: an operator that a delegate runs
OPTIONS = {
    b"runtime_options_string": b"enable_profiling = true\n",
    b"cpu_options_string": b"num_threads = 1\n",
}


class Event(ctypes.Structure):
    """ProfiledEventData of litert_profiler_event.h."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start", ctypes.c_uint64),
        ("microseconds", ctypes.c_uint64),
        ("memory", ctypes.c_size_t * 6),
        ("details", ctypes.c_uint64 * 2),
        ("source", ctypes.c_int),
    )


class Profiled:
    """A .tflite file of one signature, run with the profiler on."""

    def __init__(self, path):
        self.library = ctypes.CDLL(str(Path(ai_edge_litert.__file__).parent / "libLiteRt.so"))
        environment = self._made("CreateEnvironment", 0, None)
        model = self._made("CreateModelFromFile", environment, str(path).encode())
        options = self._made("CreateOptions")
        self._call("SetOptionsHardwareAccelerators", options, CPU)
        c = ctypes.CDLL(None)
        c.strdup.restype = ctypes.c_void_p
        free = ctypes.cast(c.free, ctypes.c_void_p)
        for name, text in OPTIONS.items():
            copy = ctypes.c_void_p(c.strdup(text))
            option = self._made("CreateOpaqueOptions", name, copy, free)
            self._call("AddOpaqueOptions", options, option)
        self.compiled = self._made("CreateCompiledModel", environment, model, options)
        self.profiler = self._made("CompiledModelGetProfiler", self.compiled)
        signature = self._made("GetModelSignature", model, ctypes.c_size_t(0))
        self.buffers = {
            side: self._buffers(environment, signature, side) for side in ("Input", "Output")
        }
        self.run()

    def _call(self, name, *arguments):
        status = getattr(self.library, f"LiteRt{name}")(*arguments)
        if status:
            raise SystemExit(f"error: LiteRt{name} gives the status {status}.")

    def _made(self, name, *arguments):
        handle = ctypes.c_void_p()
        self._call(name, *arguments, ctypes.byref(handle))
        return handle

    def _buffers(self, environment, signature, side):
        count, handles = ctypes.c_size_t(), []
        self._call(f"GetNumSignature{side}s", signature, ctypes.byref(count))
        for place in map(ctypes.c_size_t, range(count.value)):
            tensor = self._made(f"GetSignature{side}TensorByIndex", signature, place)
            ranked = ctypes.create_string_buffer(256)
            self._call("GetRankedTensorType", tensor, ranked)
            needed = self._made(
                f"GetCompiledModel{side}BufferRequirements",
                self.compiled,
                ctypes.c_size_t(0),
                place,
            )
            handles.append(
                self._made("CreateManagedTensorBufferFromRequirements", environment, ranked, needed)
            )
        if side == "Input":
            self._fill(handles[0])
        return (ctypes.c_void_p * len(handles))(*handles)

    def _fill(self, buffer):
        """Write a picture of noise."""
        size, memory = ctypes.c_size_t(), ctypes.c_void_p()
        self._call("GetTensorBufferPackedSize", buffer, ctypes.byref(size))
        self._call("LockTensorBuffer", buffer, ctypes.byref(memory), WRITE)
        noise = measure._noise([size.value // 4])
        ctypes.memmove(memory, noise.ctypes.data, size.value)
        self._call("UnlockTensorBuffer", buffer)

    def run(self):
        """Run the model; kind and microseconds of each operator, in their order."""
        self._call("ResetProfiler", self.profiler)
        self._call("StartProfiler", self.profiler)
        sides = []
        for buffers in self.buffers.values():
            sides += [ctypes.c_size_t(len(buffers)), buffers]
        self._call("RunCompiledModel", self.compiled, ctypes.c_size_t(0), *sides)
        self._call("StopProfiler", self.profiler)
        count = ctypes.c_int()
        self._call("GetNumProfilerEvents", self.profiler, ctypes.byref(count))
        events = (Event * count.value)()
        self._call("GetProfilerEvents", self.profiler, count, events)
        return [
            (event.tag.decode().partition(" (")[0], event.microseconds)
            for event in events
            if event.kind == IN_DELEGATE
        ]


def shares(path, rounds):
    """The share of each kind of operator, largest first."""
    profiled, times = Profiled(path), collections.Counter()
    for entries in zip(*(profiled.run() for _ in range(rounds)), strict=True):
        times[entries[0][0]] += min(microseconds for _, microseconds in entries)
    shares = {name: round(time / times.total(), 4) for name, time in times.most_common()}
    return {name: share for name, share in shares.items() if share}


# Which no graph of these models is without.
NEEDED = ("Fully Connected", "Batch Matrix Multiply", "Softmax")


def best_possible(found):
    """How many times as fast as KerasHub's a file would be that had the needed operators alone."""
    path = Path(__file__).with_name("result.json")
    measured = json.loads(path.read_text())["models"]
    bounds = {}
    for name, parts in found.items():
        model, _, precision = name.rpartition(", ")
        ratio = measured[model]["ratios"][precision]["kerashub"]
        bounds[name] = round(ratio / sum(parts.get(kind, 0) for kind in NEEDED), 3)
    return bounds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--files", type=Path, default=Path("build/vision_latency"))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "operators.json")
    arguments = parser.parse_args()
    found = {
        f"{model}, {precision}": shares(
            measure.file_of(arguments.files.resolve(), model, "kzoo", precision), arguments.rounds
        )
        for model in measure.PRESETS
        for precision in measure.PRECISIONS
    }
    result = {
        "what": "kzoo's files, the share of each kind of operator in the time of all",
        "provenance": provenance(measure.SOURCES, ("kzoo", "tensorflow", "ai-edge-litert")),
        "rounds": arguments.rounds,
        "shares": found,
        "best_possible_against_kerashub": best_possible(found),
    }
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
