// An open bundle: texts, pictures or sounds in, answers out.

import { Answerer } from "./answerer.js";
import { Bundle, Together } from "./bundle.js";
import { Perceiver } from "./perceiver.js";
import { kindOf } from "./reader.js";
import { Towers } from "./towers.js";
import { Rewriter, Writer } from "./writer.js";

/** What answers texts by the kind of the bundle's rule. */
const CLIENTS = { labels: Answerer, embedding: Answerer, entities: Answerer, span: Answerer, late_interaction: Answerer, continuation: Writer, rewriting: Rewriter };

export const Client = {
  /**
   * Opens and checks a bundle; `passed` as for `Bundle.open`. All that answers has `sense` ("text", "image" or
   * "sound"), `kind`, `answer`, `check`, `measure` and `close`, and in `members` itself; of two towers `members` are
   * what answers with each, and there are no `check` and `measure` but theirs.
   */
  async open(files, passed) {
    if (await Together.is(files)) return Towers.load(await Together.open(files, passed));
    const bundle = await Bundle.open(files, passed);
    return (bundle.sense === "text" ? CLIENTS[kindOf(bundle.manifest)] : Perceiver).load(bundle);
  },
};
