// A bundle as `kzoo export` wrote it: the manifest behind its seal, and files behind their checksums.

import { KzooError } from "./errors.js";
import { within } from "./files.js";
import { senseOf } from "./reader.js";

const FORMAT = 3; // The newest; those before it are read too.
const UNSEALED = "0".repeat(64);
const FIELDS = ["format", "kzoo", "task", "spec", "labels", "max_length", "signature", "quantization",
  "length", "limits", "minimum_runtime", "files", "golden", "tolerance", "seal"];
const SINCE = { task_options: 2, reads: 3, rule: 3, signatures: 3 }; // Fields that came with a format.
const OPTIONAL = ["for", "delegates", "reading"]; // As kzoo/bundle/manifest.py has them.
const MANIFEST_MOST = 2 ** 26; // Bytes, as in android_demo.
const TOGETHER = "towers.json"; // What holds two bundles together, as kzoo/bundle/towers.py has it.
const FORMAT_TOGETHER = 1;
const FIELDS_TOGETHER = ["format", "kzoo", "task", "scale", "labels", "templates", "towers", "report", "seal"];
const TOWERS = ["image", "text"]; // Their folders, and what each reads.
const LEAST_GOLDEN = 6; // As kzoo/bundle/verify.py has it.
/** By what a bundle reads: the file that says how one becomes numbers. */
const PROCESSORS = { text: "tokenizer.json", image: "preprocessor_config.json", sound: "preprocessor_config.json" };
const WRITTEN = ["logits", "token_ids"];
const GOLDEN = { continuation: WRITTEN, rewriting: WRITTEN }; // By rule: what is written down beside a text, where not what the file gives.

/**
 * A bundle that was checked: `manifest` is kzoo.json, `sense` what it reads ("text", "image" or "sound"), `model`
 * the bytes of its file. One of texts has the bytes of its `tokenizer`, and in `special` the text of
 * special_tokens_map.json or null; one of pictures or sounds the text of preprocessor_config.json in
 * `preprocessor`, and by the names of golden examples the bytes of their `inputs`.
 */
export class Bundle {
  /**
   * @param files anything with `name`, `size(name)` and `read(name)`
   * @param passed called with (file, bytes) when a file has passed its check
   */
  static async open(files, passed = () => {}) {
    checkBrowser();
    const bundle = new Bundle();
    bundle.name = files.name;
    bundle.manifest = await manifestOf(files);
    passed("kzoo.json", bundle.manifest.bytes);
    bundle.sense = senseOf(bundle.manifest);
    const contents = new Map();
    for (const [name, entry] of Object.entries(bundle.manifest.files)) {
      contents.set(name, await checkedFile(files, name, entry));
      passed(name, entry.bytes);
    }
    const processor = PROCESSORS[bundle.sense];
    for (const name of ["model.tflite", processor]) {
      if (!contents.has(name)) throw new KzooError(`The bundle was written without ${name}: export anew.`);
    }
    checkLabels(bundle.manifest, contents.get("labels.txt"));
    checkGolden(bundle, contents);
    bundle.model = contents.get("model.tflite");
    if (bundle.sense === "text") {
      const special = contents.get("special_tokens_map.json");
      bundle.tokenizer = contents.get(processor);
      bundle.special = special ? decoded(special, "special_tokens_map.json") : null;
    } else {
      bundle.preprocessor = decoded(contents.get(processor), processor);
      bundle.inputs = new Map(bundle.manifest.golden.map((example) => example[bundle.sense]).map((name) => [name, contents.get(name)]));
    }
    return bundle;
  }
}

/** Two bundles that were checked, and what holds them together: `fields` is towers.json, `image` and `text` are the bundles. */
export class Together {
  /** Whether that is what lies there. */
  static async is(files) {
    return !(await files.has("kzoo.json")) && files.has(TOGETHER);
  }

  /** See `Bundle.open`. */
  static async open(files, passed = () => {}) {
    checkBrowser();
    const together = Object.assign(new Together(), { name: files.name, fields: await togetherOf(files) });
    passed(TOGETHER, together.fields.bytes);
    const report = await files.read("report.json");
    if (!report || (await sha256(report)) !== together.fields.report) {
      throw new KzooError("report.json was changed after the export: its SHA-256 is another; export anew.");
    }
    for (const folder of TOWERS) {
      const bundle = await Bundle.open(within(files, folder), (name, bytes) => passed(`${folder}/${name}`, bytes));
      const { seal, rule } = bundle.manifest;
      if (seal !== together.fields.towers[folder] || rule !== "embedding" || bundle.sense !== folder) {
        throw new KzooError(`${folder}/kzoo.json isn't the one that ${TOGETHER} was written for: export anew.`);
      }
      together[folder] = bundle;
    }
    return together;
  }
}

function checkBrowser() {
  if (!globalThis.crypto?.subtle) {
    throw new KzooError("This browser checks SHA-256 only on a safe address: open the page over HTTPS or from localhost.");
  }
}

/** Whether a text is the one that was sealed, with zeros for the seal, which is its last value. */
async function isSealed(text, seal) {
  const sealed = `"seal": "${seal}"`;
  const place = text.lastIndexOf(sealed);
  const unsealed = place < 0 ? text : `${text.slice(0, place)}"seal": "${UNSEALED}"${text.slice(place + sealed.length)}`;
  return (await sha256(new TextEncoder().encode(unsealed))) === seal;
}

/** The bytes of a small file, or null where there is none. */
async function small(files, name) {
  const size = files.size(name);
  if (size > MANIFEST_MOST) {
    throw new KzooError(`${name} has ${size} bytes: at most ${MANIFEST_MOST} were expected; export anew.`);
  }
  return files.read(name);
}

async function togetherOf(files) {
  const bytes = await small(files, TOGETHER);
  const fields = parsed(bytes, TOGETHER);
  if (fields === null || typeof fields !== "object" || Array.isArray(fields)) {
    throw new KzooError(`${TOGETHER} holds ${JSON.stringify(fields).slice(0, 40)}; what holds two towers together, a JSON object, was expected there.`);
  }
  if (fields.format !== FORMAT_TOGETHER) {
    throw new KzooError(`${TOGETHER} is of format ${String(JSON.stringify(fields.format)).slice(0, 40)}; this page reads ${FORMAT_TOGETHER}: export anew, or take the page of the kzoo that wrote it.`);
  }
  const strings = (list) => Array.isArray(list) && list.every((each) => typeof each === "string");
  const names = (object) => String(Object.keys(object ?? {}).sort());
  const fits = names(fields) === String([...FIELDS_TOGETHER].sort()) && names(fields.towers) === String(TOWERS) && fields.scale >= 0 &&
    typeof fields.scale === "number" && strings(fields.templates) && (fields.labels === null || strings(fields.labels));
  if (!fits || !(await isSealed(decoded(bytes, TOGETHER), fields.seal))) {
    throw new KzooError(`${TOGETHER} was changed after the export: its seal doesn't fit; export anew.`);
  }
  return Object.defineProperty(fields, "bytes", { value: bytes.length });
}

async function manifestOf(files) {
  const bytes = await small(files, "kzoo.json");
  if (!bytes) throw new KzooError(`${files.name} holds no kzoo.json: a bundle that \`kzoo export\` wrote was expected.`);
  if (!bytes.length) throw new KzooError("kzoo.json is empty: a bundle that `kzoo export` wrote was expected.");
  const manifest = parsed(bytes, "kzoo.json");
  const format = manifest?.format;
  if (format === undefined) throw new KzooError("kzoo.json names no format: a bundle that `kzoo export` wrote was expected.");
  if (!Number.isInteger(format) || format < 1 || format > FORMAT) {
    throw new KzooError(`kzoo.json is of format ${JSON.stringify(format).slice(0, 40)}; this page reads formats 1 to ${FORMAT}: export anew, or take the page of the kzoo that wrote it.`);
  }
  const expected = [...FIELDS, ...Object.keys(SINCE).filter((field) => format >= SINCE[field])];
  const fields = Object.keys(manifest).filter((field) => !OPTIONAL.includes(field));
  const fits = String(fields.sort()) === String(expected.sort());
  if (!fits || !(await isSealed(decoded(bytes, "kzoo.json"), manifest.seal))) {
    throw new KzooError("kzoo.json was changed after the export: its seal doesn't fit; export anew.");
  }
  return Object.defineProperty(manifest, "bytes", { value: bytes.length });
}

async function checkedFile(files, name, { bytes: size, sha256: sum }) {
  const sized = (found) => {
    if (found === size) return;
    throw new KzooError(`${name} was changed after the export: it has ${found} bytes, ${size} were written; export anew.`);
  };
  sized(files.size(name) ?? size); // Before it is read, if possible.
  const bytes = await files.read(name);
  if (!bytes) throw new KzooError(`${name} is missing from the bundle: export anew.`);
  sized(bytes.length);
  if ((await sha256(bytes)) !== sum) {
    throw new KzooError(`${name} was changed after the export: its SHA-256 is not the one in kzoo.json; export anew.`);
  }
  return bytes;
}

function checkLabels({ labels, signature }, bytes) {
  if (labels === null) return;
  const twice = labels.find((label, place) => labels.indexOf(label) < place);
  if (twice !== undefined) throw new KzooError(`kzoo.json has the label ${twice.slice(0, 40)} twice, and answers name a label alone: export anew.`);
  const lines = bytes ? decoded(bytes, "labels.txt").split("\n") : [];
  if (lines.at(-1) === "") lines.pop();
  if (JSON.stringify(lines) !== JSON.stringify(labels)) {
    throw new KzooError(`labels.txt holds ${JSON.stringify(lines)}; kzoo.json says ${JSON.stringify(labels)}: export anew.`);
  }
  const logits = Object.values(signature)[0]?.outputs?.logits?.shape?.at(-1);
  if (logits !== labels.length) {
    throw new KzooError(`The model gives ${logits} numbers, and there are ${labels.length} labels: one label for each was expected; export anew.`);
  }
}

function checkGolden({ manifest: { golden, signature, rule }, sense }, contents) {
  const count = Array.isArray(golden) ? golden.length : 0;
  if (count < LEAST_GOLDEN) {
    throw new KzooError(`kzoo.json holds ${count} golden examples; at least ${LEAST_GOLDEN} are expected: export anew.`);
  }
  const outputs = GOLDEN[rule] ?? Object.keys(Object.values(signature)[0]?.outputs ?? {}).sort();
  golden.forEach((example, place) => {
    const written = example?.outputs;
    const lacking = sense === "text" ? lackingOfText(example ?? {}) : !contents.has(example?.[sense]) && `the file of its ${sense}`;
    if (lacking) throw new KzooError(`Golden example ${place} in kzoo.json lacks ${lacking}: export anew.`);
    const names = Object.keys(written ?? {}).sort();
    if (String(names) !== String(outputs) || !Object.values(written ?? {}).every(Array.isArray)) {
      throw new KzooError(`Golden example ${place} in kzoo.json has ${names.length ? `the outputs ${names.join(", ")}` : "no outputs"}; expected ${outputs.join(", ")}: export anew.`);
    }
  });
}

function lackingOfText({ text, token_ids: ids }) {
  const texts = [text].flat();
  const whole = [1, 2].includes(texts.length) && texts.every((part) => typeof part === "string") && Array.isArray(ids);
  return !whole && "its text or its token ids";
}

function decoded(bytes, name) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new KzooError(`${name} is not UTF-8: it was changed after the export; export anew.`);
  }
}

function parsed(bytes, name) {
  try {
    return JSON.parse(decoded(bytes, name));
  } catch (error) {
    if (error instanceof KzooError) throw error;
    throw new KzooError(`${name} is not readable JSON: it was changed after the export; export anew.`);
  }
}

/** The hexadecimal SHA-256 of bytes. */
export async function sha256(bytes) {
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(sum, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
