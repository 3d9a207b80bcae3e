// The shapes in a .tflite file, which is a FlatBuffer (TensorFlow's schema.fbs).

const TFL3 = 0x334c4654;
const SUBGRAPHS = 2; // Fields by number: of a model,
const TENSORS = 0, INPUTS = 1, OUTPUTS = 2; // of a subgraph,
const SHAPE = 0, SIGNATURE = 7; // of a tensor; -1 in the second where any number may stand.

/** A copy of a model of dynamic length whose inputs and outputs have this one length. */
export function fixed(bytes, length) {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  if (bytes.length < 8 || view.getUint32(4, true) !== TFL3) throw new Error("it is no TensorFlow Lite file");
  const follow = (place) => place + view.getUint32(place, true);
  const field = (table, number) => {
    const fields = table - view.getInt32(table, true);
    const entry = 4 + 2 * number;
    const offset = entry < view.getUint16(fields, true) ? view.getUint16(fields + entry, true) : 0;
    return offset ? follow(table + offset) : null;
  };
  const items = (vector) => Array.from({ length: vector ? view.getUint32(vector, true) : 0 }, (_, i) => vector + 4 + 4 * i);

  const graph = follow(items(field(follow(0), SUBGRAPHS))[0]);
  const tensors = items(field(graph, TENSORS));
  for (const place of [INPUTS, OUTPUTS].flatMap((list) => items(field(graph, list)))) {
    const tensor = follow(tensors[view.getInt32(place, true)]);
    const shape = items(field(tensor, SHAPE));
    items(field(tensor, SIGNATURE)).forEach((size, i) => {
      if (view.getInt32(size, true) >= 0) return;
      for (const each of [size, shape[i]]) view.setInt32(each, i ? length : 1, true); // One text at a time.
    });
  }
  return copy;
}
