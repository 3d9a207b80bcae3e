// The shapes in a .tflite file, which is a FlatBuffer (TensorFlow's schema.fbs).

const TFL3 = 0x334c4654;
const SUBGRAPHS = 2; // Fields by number: of a model,
const TENSORS = 0, INPUTS = 1, OUTPUTS = 2; // of a subgraph,
const SHAPE = 0, SIGNATURE = 7; // of a tensor; -1 in the second where any number may stand.

/**
 * A copy of a model whose functions have this one length where theirs is dynamic, in inputs and outputs. An Error where
 * the file is damaged; a RangeError means that there is no memory for the copy.
 */
export function fixed(bytes, length) {
  const view = new DataView(bytes.slice().buffer);
  const inside = (place, size) => { // Not the undefined place of what a list lacks, either.
    if (place >= 0 && place + size <= view.byteLength) return place;
    throw new Error("an offset in it leads out of the file");
  };
  const unsigned = (place) => view.getUint32(inside(place, 4), true);
  const signed = (place) => view.getInt32(inside(place, 4), true);
  const short = (place) => view.getUint16(inside(place, 2), true);
  const follow = (place) => place + unsigned(place);
  const field = (table, number) => {
    const fields = table - signed(table);
    const entry = 4 + 2 * number;
    const offset = entry < short(fields) ? short(fields + entry) : 0;
    return offset ? follow(table + offset) : null;
  };
  const items = (vector) => {
    if (vector === null) return [];
    const count = unsigned(vector);
    inside(vector + 4, 4 * count);
    return Array.from({ length: count }, (_, i) => vector + 4 + 4 * i);
  };
  if (view.byteLength < 8 || unsigned(4) !== TFL3) throw new Error("it is no TensorFlow Lite file");

  for (const graph of items(field(follow(0), SUBGRAPHS)).map(follow)) {
    const tensors = items(field(graph, TENSORS));
    for (const place of [INPUTS, OUTPUTS].flatMap((list) => items(field(graph, list)))) {
      const tensor = follow(tensors[signed(place)]);
      const shape = items(field(tensor, SHAPE));
      items(field(tensor, SIGNATURE)).forEach((size, i) => {
        if (signed(size) < 0) view.setInt32(inside(shape[i], 4), i ? length : 1, true); // One text at a time.
      });
    }
  }
  return new Uint8Array(view.buffer);
}
