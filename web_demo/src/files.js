// Where a bundle's files come from: a folder on the server, or what the user chose.

import { KzooError } from "./errors.js";
import { unzip } from "./zip.js";

/** What lies in a folder of some files: one of the bundles in a bundle of two towers. */
class Within {
  constructor(files, folder) {
    [this.files, this.folder, this.name] = [files, folder, `${files.name}/${folder}`];
  }

  size(name) {
    return this.files.size(`${this.folder}/${name}`);
  }

  read(name) {
    return this.files.read(`${this.folder}/${name}`);
  }
}

/** The files in a folder of a bundle. */
export const within = (files, folder) => new Within(files, folder);

/** A bundle in a folder of the page's own server. */
export class ServedFiles {
  constructor(name, address) {
    [this.name, this.address] = [name, address];
  }

  /** How many bytes a file has; null where that isn't known before it is read. */
  size() {
    return null;
  }

  /** Whether there is a file. */
  async has(name) {
    return (await this.#asked(name, "HEAD")) !== null;
  }

  /** The bytes of a file, or null where there is none. */
  async read(name) {
    const answer = await this.#asked(name, "GET");
    return answer && new Uint8Array(await answer.arrayBuffer());
  }

  async #asked(name, method) {
    let answer;
    try {
      answer = await fetch(this.address + name.split("/").map(encodeURIComponent).join("/"), { cache: "no-cache", method });
    } catch {
      throw new KzooError(`${name} can't be fetched: the server doesn't answer; check the connection and load the page again.`);
    }
    if (answer.status === 404) return null;
    if (!answer.ok) throw new KzooError(`${name} can't be fetched: the server answers ${answer.status}.`);
    return answer;
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

  async has(name) {
    return this.files.has(name);
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
   * @param path where each lies, the folder's own name first
   */
  static async of(chosen, path = (file) => file.webkitRelativePath || file.name) {
    const files = Array.from(chosen);
    if (!files.length) throw new KzooError("The folder is empty: a bundle that `kzoo export` wrote was expected.");
    if (files.length === 1 && /\.zip$/i.test(files[0].name)) {
      return new ChosenFiles(files[0].name, unzipped(files[0].name, await unzip(files[0])));
    }
    const folder = path(files[0]).split("/").slice(0, -1)[0];
    return new ChosenFiles(folder ?? files[0].name, unfolded(new Map(files.map((file) => [path(file), file]))));
  }
}

/** The folder that a bundle's files stand in: that of towers.json, or else of kzoo.json, of which there is to be one. */
function folderOf(files) {
  const called = (name) => [...files.keys()].filter((path) => path.split("/").at(-1) === name && !isOfFinder(path));
  const together = called("towers.json");
  const name = together.length ? "towers.json" : "kzoo.json";
  const found = together.length ? together : called(name);
  if (found.length !== 1) {
    throw new KzooError(`${found.length || "No"} ${name} came among ${files.size} files: the folder or zip of one bundle was expected.`);
  }
  return [found[0].slice(0, -name.length), together.length > 0];
}

/** The files there and in its folders, by their paths from there. */
function unfolded(files) {
  const [folder] = folderOf(files);
  const inside = [...files].filter(([path]) => path.startsWith(folder) && !isOfFinder(path));
  return new Map(inside.map(([path, file]) => [path.slice(folder.length), file]));
}

/**
 * The same of a zip, whose files lie at its top or in one folder of it; of two towers, in their folders too. A
 * member anywhere else, which unpacking would write somewhere else, makes the zip unreadable as a whole.
 */
function unzipped(name, files) {
  const [folder, together] = folderOf(files);
  const plain = (path) => isPlain(together ? path.slice(folder.length).replace(/^(image|text)\//, "") : path.slice(folder.length));
  const right = (path) => path.startsWith(folder) && plain(path) && (folder === "" || isPlain(folder.slice(0, -1)));
  const outside = [...files.keys()].find((path) => !isOfFinder(path) && !right(path));
  if (outside !== undefined) throw new KzooError(`${name} holds ${outside} outside of the bundle: zip its folder anew.`);
  return unfolded(files);
}
