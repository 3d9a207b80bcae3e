// Where a bundle's files come from: a folder on the server, or what the user chose.

import { KzooError } from "./errors.js";
import { unzip } from "./zip.js";

/** A bundle in a folder of the page's own server. */
export class ServedFiles {
  constructor(name, address) {
    [this.name, this.address] = [name, address];
  }

  /** How many bytes a file has; null where that isn't known before it is read. */
  size() {
    return null;
  }

  /** The bytes of a file, or null where there is none. */
  async read(name) {
    let answer;
    try {
      answer = await fetch(this.address + encodeURIComponent(name), { cache: "no-cache" });
    } catch {
      throw new KzooError(`${name} can't be fetched: the server doesn't answer; check the connection and load the page again.`);
    }
    if (answer.status === 404) return null;
    if (!answer.ok) throw new KzooError(`${name} can't be fetched: the server answers ${answer.status}.`);
    return new Uint8Array(await answer.arrayBuffer());
  }

  /**
   * @param folder its address, absolute or as seen from the page; a link to the page can name it, so
   *     another server's is refused
   */
  static async of(folder, name = folder) {
    const address = resolved(folder.endsWith("/") ? folder : `${folder}/`);
    if (!address.startsWith(`${location.origin}/`) || /[?#]/.test(address)) {
      throw new KzooError(`${folder} is no folder of this page's own server: a bundle is opened from there, or chosen below.`);
    }
    return new ServedFiles(name, address);
  }
}

function resolved(address) {
  try {
    return new URL(address, document.baseURI).href;
  } catch {
    return ""; // It is no address.
  }
}

/**
 * Whether macOS put a file there, which is no part of a bundle, in a folder or in a zip: what Finder
 * keeps of a folder, and what goes with a file where a disk or a zip can't hold it.
 */
function isOfFinder(path) {
  const parts = path.split("/");
  return parts.includes("__MACOSX") || /^(\.DS_Store$|\._)/.test(parts.at(-1));
}

/** Whether a name is that of a file or folder right here: nothing that leads elsewhere, on no system. */
const isPlain = (name) => name !== "" && name !== ".." && !/[/\\\0]|^[a-z]:/i.test(name);

/** A bundle that the user chose: by name its files, or what `unzip` has in their place. */
export class ChosenFiles {
  constructor(name, files) {
    [this.name, this.files] = [name, files];
  }

  size(name) {
    return this.files.get(name)?.size ?? null;
  }

  async read(name) {
    const file = this.files.get(name);
    if (!file) return null;
    try {
      return new Uint8Array(await file.arrayBuffer());
    } catch (error) {
      if (error instanceof KzooError) throw error; // A zip says for itself what is wrong.
      throw new KzooError(`${name} can't be read: it was moved or changed since it was chosen; choose the bundle again.`);
    }
  }

  /**
   * @param chosen File objects: the files of one folder, or one zip
   */
  static async of(chosen) {
    const files = Array.from(chosen);
    if (!files.length) throw new KzooError("The folder is empty: a bundle that `kzoo export` wrote was expected.");
    if (files.length === 1 && /\.zip$/i.test(files[0].name)) {
      return new ChosenFiles(files[0].name, unzipped(files[0].name, await unzip(files[0])));
    }
    const path = (file) => file.webkitRelativePath || file.name;
    const folder = path(files[0]).split("/").slice(0, -1)[0];
    return new ChosenFiles(folder ?? files[0].name, unfolded(new Map(files.map((file) => [path(file), file]))));
  }
}

/** The files beside kzoo.json, without the folder they stand in. */
function unfolded(files) {
  const manifest = [...files.keys()].filter((path) => path.split("/").at(-1) === "kzoo.json" && !isOfFinder(path));
  if (manifest.length !== 1) {
    throw new KzooError(`${manifest.length || "No"} kzoo.json came among ${files.size} files: the folder or zip of one bundle was expected.`);
  }
  const folder = manifest[0].slice(0, -"kzoo.json".length);
  const within = [...files].filter(([path]) => path.startsWith(folder) && !isOfFinder(path));
  return new Map(within.map(([path, file]) => [path.slice(folder.length), file]));
}

/**
 * The same of a zip, whose files lie at its top or in one folder of it. A member anywhere else, which
 * unpacking would write somewhere else, makes the zip unreadable as a whole.
 */
function unzipped(name, files) {
  const found = unfolded(files);
  const manifest = [...files.keys()].find((path) => files.get(path) === found.get("kzoo.json"));
  const folder = manifest.slice(0, -"kzoo.json".length);
  const plain = (path) => isPlain(path.slice(folder.length)) && (folder === "" || isPlain(folder.slice(0, -1)));
  const outside = [...files.keys()].find((path) => !isOfFinder(path) && !(path.startsWith(folder) && plain(path)));
  if (outside !== undefined) throw new KzooError(`${name} holds ${outside} outside of the bundle: zip its folder anew.`);
  return found;
}
