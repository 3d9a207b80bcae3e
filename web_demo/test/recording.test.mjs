// What is recorded: the newest samples, in their order.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Recording } from "../src/recording.js";

const from = (first, count) => Float32Array.from({ length: count }, (_, i) => first + i);

test("the newest samples are given in their order, and those that they don't need are forgotten", () => {
  const recording = new Recording();
  assert.deepEqual(recording.newest(4), new Float32Array(0));
  recording.forget(0);
  for (let first = 0; first < 30; first += 3) {
    recording.add(from(first, 3));
    recording.forget(7);
  }
  assert.equal(recording.count, 9); // Of three parts, as two hold six.
  assert.deepEqual(recording.newest(7), from(23, 7));
  assert.deepEqual(recording.newest(100), from(21, 9));
  recording.newest(9).fill(0);
  assert.deepEqual(recording.newest(2), from(28, 2));
});
