// Pixels of pictures, by the browser's own decoders.

import { KzooError } from "./errors.js";

const MOST = 2 ** 27; // Pixels, as in android_demo.
const MOST_SIDE = 2 ** 15; // Of a canvas.

/**
 * The picture in a file's bytes, {width, height, colours}: four bytes a pixel, row by row. It is turned
 * upright by its EXIF data, which browsers do themselves and can't be kept from; its numbers are as they
 * lie in the file, whatever colour space that names.
 *
 * @param name what an error calls the file
 */
export async function decoded(bytes, name) {
  if (!bytes.length) throw new KzooError(`${name} is empty; expected a picture.`);
  const file = new Blob([bytes]);
  let bitmap;
  try {
    check(...(await sides(file)), name); // Before there are pixels of it.
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch (error) {
    if (error instanceof KzooError) throw error;
    throw new KzooError(`${name} is no picture that this browser reads, or a damaged one; expected a whole JPEG, PNG, GIF, WebP or BMP.`);
  }
  try {
    return { ...pixels(bitmap, bitmap.width, bitmap.height, name), name };
  } finally {
    bitmap.close();
  }
}

/** Width and height of the picture in a file. */
async function sides(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await new Promise((resolve, reject) => Object.assign(image, { onload: resolve, onerror: reject }));
    return [image.naturalWidth, image.naturalHeight];
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

function check(width, height, name) {
  if (width * height > MOST || Math.max(width, height) > MOST_SIDE) {
    throw new KzooError(`${name} is ${width} by ${height} pixels, more than a browser holds: make it smaller.`);
  }
}

/** A smaller canvas of what one shows, with no side longer than `side`. */
export function small(canvas, side) {
  const share = Math.min(1, side / Math.max(canvas.width, canvas.height));
  const [width, height] = [canvas.width, canvas.height].map((each) => Math.max(1, Math.round(each * share)));
  const made = Object.assign(document.createElement("canvas"), { width, height });
  made.getContext("2d").drawImage(canvas, 0, 0, width, height);
  return made;
}

/** The pixels of a bitmap, or of the frame that a video shows; white is beneath what is transparent. */
export function pixels(source, width, height, name) {
  check(width, height, name);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return { width, height, colours: context.getImageData(0, 0, width, height).data, canvas };
}
