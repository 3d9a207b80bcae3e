// An open bundle of two towers: pictures that words are searched in.

import * as core from "@kzoo/core";
import { Answerer } from "./answerer.js";
import { Perceiver } from "./perceiver.js";
import { asked } from "./reader.js";

export class Towers {
  sense = "image";
  kind = "towers";

  /** @param together what `Together.open` gives */
  static async load(together) {
    const towers = Object.assign(new Towers(), { together: together.fields, name: together.name });
    towers.image = await Perceiver.load(together.image);
    try {
      towers.text = await Answerer.load(together.text);
    } catch (error) {
      towers.image.close();
      throw error;
    }
    towers.members = [towers.image, towers.text];
    return towers;
  }

  /** The answer to a text, with its vector; a KzooError where the tower would cut it. */
  async read(text) {
    const found = await this.text.answer(text);
    if (found.truncated) asked(() => core.cut(text, found.tokens));
    return found;
  }

  /**
   * Labels of which only the names are known, the bundle's own by default: `of` gives the answer to a picture's
   * vector, with the scores as [[label, score]], and `json` that as text. Templates have {} in a label's place.
   */
  async names(labels = null, templates = null) {
    const names = asked(() => core.names(labels, templates, JSON.stringify(this.together), this.name));
    for (const [place, text] of names.texts.entries()) {
      const { embedding } = await this.read(text);
      names.give(place, Float32Array.from(embedding));
    }
    return {
      of: (embedding) => names.of(Float32Array.from(embedding)),
      json: (image, embedding) => names.json(image, Float32Array.from(embedding)),
    };
  }

  /** The answer to a picture, with its vector; `given` as for `Perceiver.answer`. */
  answer(given) {
    return this.image.answer(given);
  }

  /** Pictures, {name, embedding}, the nearest to a vector first: [{index, score, image}], so many at most. */
  nearest(vector, pictures, top) {
    return pictures.map(({ name, embedding }, index) => ({ index, score: this.image.similarity(vector, embedding), image: name }))
      .sort((a, b) => b.score - a.score).slice(0, top);
  }

  /** Frees the memory of both models. */
  close() {
    for (const each of this.members) each.close();
  }
}
