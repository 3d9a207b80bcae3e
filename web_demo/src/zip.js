// The files of a zip, by its central directory (PKWARE's APPNOTE 6.3): stored or deflated.

import { KzooError } from "./errors.js";

const END = 0x06054b50, ENTRY = 0x02014b50, LOCAL = 0x04034b50;
const STORED = 0, DEFLATED = 8, ENCRYPTED = 1;

/** {path: Uint8Array} of a zip file, folders left out. */
export async function unzip(file) {
  const view = new DataView(await file.arrayBuffer());
  const damaged = () => new KzooError(`${file.name} is no whole zip: the zip of a bundle was expected.`);
  try {
    const end = endOf(view);
    if (end < 0) throw damaged();
    const found = new Map();
    let place = view.getUint32(end + 16, true);
    for (let count = view.getUint16(end + 10, true); count > 0; count--) {
      if (view.getUint32(place, true) !== ENTRY) throw damaged();
      const [flags, method] = [view.getUint16(place + 8, true), view.getUint16(place + 10, true)];
      const [packed, size] = [view.getUint32(place + 20, true), view.getUint32(place + 24, true)];
      const lengths = [28, 30, 32].map((offset) => view.getUint16(place + offset, true));
      const local = view.getUint32(place + 42, true);
      const path = new TextDecoder().decode(new Uint8Array(view.buffer, place + 46, lengths[0]));
      place += 46 + lengths[0] + lengths[1] + lengths[2];
      if (path.endsWith("/")) continue;
      if (flags & ENCRYPTED || ![STORED, DEFLATED].includes(method)) {
        throw new KzooError(`${path} in ${file.name} is encrypted or packed in an unusual way: a plain zip was expected.`);
      }
      if (view.getUint32(local, true) !== LOCAL) throw damaged();
      const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
      const bytes = new Uint8Array(view.buffer, start, packed);
      const content = method === STORED ? bytes : await inflated(bytes);
      if (content.length !== size) throw damaged();
      found.set(path, content);
    }
    return found;
  } catch (error) {
    throw error instanceof KzooError ? error : damaged();
  }
}

function endOf(view) {
  for (let place = view.byteLength - 22; place >= 0; place--) {
    if (view.getUint32(place, true) === END) return place;
  }
  return -1;
}

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
