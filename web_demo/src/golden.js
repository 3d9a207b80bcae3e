// Outputs against those that were written down at the export.

const DIGITS = 1e-6; // Below this an output counts as nothing.

/**
 * @param here outputs by name, flat; `there` as kzoo.json has them, with the `golden` examples of it all
 * @param reader tells whether other labels answer
 * @returns {passed, why, off}: `why` is a sentence where it failed, `off` the largest distance of an output as a
 *     share of the largest number that it has in all golden examples
 */
export function compared(here, there, { golden, tolerance }, reader) {
  let off = 0;
  for (const [name, nested] of Object.entries(there)) {
    const written = nested.flat(Infinity);
    if (written.length !== here[name].length) {
      return { passed: false, why: `Its ${name} has ${here[name].length} numbers; ${written.length} were written.`, off: null };
    }
    const all = golden.flatMap(({ outputs }) => (outputs[name] ?? []).flat(Infinity));
    const scale = all.reduce((most, value) => Math.max(most, Math.abs(value)), DIGITS);
    written.forEach((value, i) => (off = Math.max(off, Math.abs(value - here[name][i]) / scale)));
  }
  if (!(off <= tolerance)) return { passed: false, why: `Its output lies ${(100 * off).toPrecision(3)} % off.`, off };
  if ("logits" in there && reader.differs(here.logits, there.logits.flat(Infinity))) {
    return { passed: false, why: "It gets another label than at the export.", off };
  }
  return { passed: true, why: "", off };
}
