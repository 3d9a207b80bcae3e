package kzoo.core.task

import kotlin.math.abs
import kzoo.core.bundle.TextGolden

/**
 * A golden example of a model that writes, gone through again by reading what was written at the
 * export: each token is to be the likeliest within the tolerance, and the logits of the first step are
 * to be near, as shares of the largest of their step.
 *
 * `ids` are the text's tokens now; the first `forced` of the written ones need not be likely. Whoever
 * checks calls `next` until there is a `result`.
 */
class ReadAgain internal constructor(
    private val steps: Steps,
    ids: IntArray,
    private val golden: TextGolden,
    private val tolerance: Double,
    private val forced: Int = 0,
    private val begin: (cancelled: () -> Boolean) -> FloatArray,
) {
    private val next = golden.outputs["token_ids"].orEmpty().map { it.toInt() }
    private val first = golden.outputs["logits"]
    private var place = 0
    private var worst = 0.0

    /** Null while there is more to read. */
    var result: GoldenResult? = null
        private set

    init {
        val other = BundleCheck.otherIds(ids, golden)
        if (other != null) end(other, 1.0)
        else if (next.isEmpty() || first == null) end("no token_ids and logits written down", 1.0)
    }

    /** Reads one token more: the prompt's last at first, then those that were written. */
    fun next(cancelled: () -> Boolean = { false }) {
        check(result == null) { "The example was read." }
        val logits = if (place == 0) begin(cancelled) else steps.step(next[place - 1], cancelled)
        val scale = maxOf(logits.maxOf { abs(it.toDouble()) }, BundleCheck.DIGITS)
        if (place == 0) {
            worst = distance(logits, scale)
            if (worst > tolerance) return end("logits off by ${BundleCheck.percent(worst)}, ${BundleCheck.percent(tolerance)} allowed", worst)
        }
        val short = logits.max() - (logits.getOrNull(next[place]) ?: Float.NEGATIVE_INFINITY)
        if (place >= forced && short > tolerance * scale) return end("written otherwise from token $place on", worst)
        place++
        if (place == next.size) end(null, worst)
    }

    /** How far the first of the logits lie from those written down. */
    private fun distance(logits: FloatArray, scale: Double): Double {
        val there = first!!
        if (there.size > logits.size) return 1.0
        val off = there.indices.maxOfOrNull { abs(logits[it] - there[it]) / scale } ?: 0.0
        return if (off < BundleCheck.DIGITS) 0.0 else off
    }

    private fun end(reason: String?, difference: Double) {
        result = GoldenResult(golden, difference, reason)
    }
}

private fun DoubleArray?.orEmpty() = this ?: DoubleArray(0)
