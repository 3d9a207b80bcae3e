"""H5 files as Keras 3 reads them: a group a layer, its variables counted in a group `vars`."""

from ...files import writing_file


def write_weights(path, tensors):
    """Write `{path within it: Lazy}` whole or not at all, with one tensor in memory at a time."""
    import h5py

    with writing_file(path) as tmp_path, h5py.File(tmp_path, "w") as file:
        for name in sorted(tensors):
            dataset = file.create_dataset(name, data=tensors[name].read())
            if tensors[name].dtype == "bfloat16":  # Which H5 keeps as bare bytes.
                dataset.attrs["dtype"] = "bfloat16"
