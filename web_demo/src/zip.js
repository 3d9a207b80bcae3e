// The files of a zip, by its central directory (PKWARE's APPNOTE 6.3): stored or deflated.

import { KzooError } from "./errors.js";

const END = 0x06054b50, ENTRY = 0x02014b50, LOCAL = 0x04034b50;
const STORED = 0, DEFLATED = 8, ENCRYPTED = 1;
const MOST = 2 ** 31; // Bytes of all that is read from one zip: no .tflite is larger.
const SLICE = 2 ** 14; // Bytes inflated at once, at most a thousandfold: little more than the size comes.

/**
 * {path: {size, arrayBuffer()}} of a zip file, folders left out. A file is inflated when it is asked
 * for, and no further than the size that the zip says.
 */
export async function unzip(file) {
  const view = new DataView(await file.arrayBuffer());
  const found = new Map();
  let left = MOST;
  const damaged = () => new KzooError(`${file.name} is no whole zip: the zip of a bundle was expected.`);
  const whole = async (read) => {
    try {
      return await read();
    } catch (error) {
      throw error instanceof KzooError ? error : damaged();
    }
  };

  const content = (path, { flags, method, packed, size, local }) => whole(async () => {
    if (flags & ENCRYPTED || ![STORED, DEFLATED].includes(method)) {
      throw new KzooError(`${path} in ${file.name} is encrypted or packed in an unusual way: a plain zip was expected.`);
    }
    if ((left -= size) < 0) {
      throw new KzooError(`${file.name} holds more than ${MOST / 2 ** 30} GB of what a bundle consists of: no bundle is that large.`);
    }
    if (view.getUint32(local, true) !== LOCAL) throw damaged();
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const bytes = new Uint8Array(view.buffer, start, packed);
    if (method === DEFLATED) return (await inflated(bytes, size)).buffer;
    if (packed !== size) throw damaged();
    return bytes.slice().buffer;
  });

  await whole(() => {
    const end = endOf(view);
    if (end < 0) throw damaged();
    let place = view.getUint32(end + 16, true);
    for (let count = view.getUint16(end + 10, true); count > 0; count--) {
      if (view.getUint32(place, true) !== ENTRY) throw damaged();
      const entry = { flags: view.getUint16(place + 8, true), method: view.getUint16(place + 10, true),
        packed: view.getUint32(place + 20, true), size: view.getUint32(place + 24, true),
        local: view.getUint32(place + 42, true) };
      const lengths = [28, 30, 32].map((offset) => view.getUint16(place + offset, true));
      const path = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(new Uint8Array(view.buffer, place + 46, lengths[0]));
      place += 46 + lengths[0] + lengths[1] + lengths[2];
      if (path.endsWith("/")) continue;
      if (found.has(path)) throw new KzooError(`${file.name} holds ${path} twice: zip the bundle's folder anew.`);
      found.set(path, { size: entry.size, arrayBuffer: () => content(path, entry) });
    }
  });
  return found;
}

function endOf(view) {
  for (let place = view.byteLength - 22; place >= 0; place--) {
    if (view.getUint32(place, true) === END) return place;
  }
  return -1;
}

/** What deflated bytes stand for; a RangeError as soon as that is not `size` bytes. */
async function inflated(bytes, size) {
  const found = new Uint8Array(size);
  let [read, written] = [0, 0];
  const source = new ReadableStream({
    pull(controller) {
      if (read < bytes.length) controller.enqueue(bytes.subarray(read, (read += SLICE)));
      else controller.close();
    },
  }, { highWaterMark: 0 });
  const reader = source.pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      found.set(value, written); // Throws where more comes.
      written += value.length;
    }
  } finally {
    reader.cancel().catch(() => {}); // Nobody waits for what is left.
  }
  if (written !== size) throw new RangeError("less came");
  return found;
}
