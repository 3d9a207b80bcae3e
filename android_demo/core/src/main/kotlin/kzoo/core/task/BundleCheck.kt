package kzoo.core.task

import kotlin.math.abs
import kzoo.core.KzooException
import kzoo.core.bundle.Answers
import kzoo.core.bundle.FileGolden
import kzoo.core.bundle.Golden
import kzoo.core.bundle.MANIFEST
import kzoo.core.bundle.Problem
import kzoo.core.bundle.TaskOptions
import kzoo.core.bundle.Tensor
import kzoo.core.bundle.TextGolden

/**
 * A golden example that was run again: `reason` is null where it passed.
 *
 * `difference` is how far its outputs lie from those written at the export, as a share of the
 * largest number that an output has in all golden examples.
 */
class GoldenResult(val golden: Golden, val difference: Double, val reason: String?) {
    val passed: Boolean get() = reason == null
}

/** Runs a bundle's golden examples again, as `kzoo verify` does: ids equal, outputs near, labels kept. */
object BundleCheck {
    /** Outputs are written with seven digits: what is nearer than that is equal. */
    internal const val DIGITS = 1e-6
    private const val CLEAR = 0.05
    /** An export writes a dozen, or half of that where texts are few; `all 0 pass` would prove nothing. */
    private const val LEAST = 6

    fun run(task: Task, each: (GoldenResult) -> Unit = {}, cancelled: () -> Boolean = { false }): List<GoldenResult> {
        val golden = task.bundle.manifest.golden
        if (golden.size < LEAST) {
            throw KzooException(
                "${task.bundle.name}/$MANIFEST holds ${golden.size} golden examples; at least $LEAST are expected: export anew.",
            )
        }
        return golden.map { check(task, it, cancelled).also(each) }
    }

    /** Whether a golden example is of a text or a file, the manifest has seen to by what its task reads. */
    private fun check(task: Task, golden: Golden, cancelled: () -> Boolean): GoldenResult = when (task) {
        is RowTask -> again(task, golden as TextGolden, cancelled)
        is TextWriter -> task.again(golden as TextGolden, cancelled)
        is TextRewriter -> task.again(golden as TextGolden, cancelled)
        is ArrayTask -> again(task, golden as FileGolden, cancelled)
    }

    /** Where a golden example has other tokens than at the export, or null. */
    internal fun otherIds(ids: IntArray, golden: TextGolden): String? {
        if (ids.contentEquals(golden.tokenIds)) return null
        val common = minOf(ids.size, golden.tokenIds.size)
        val place = (0 until common).firstOrNull { ids[it] != golden.tokenIds[it] } ?: common
        return "tokenized otherwise from token $place on"
    }

    private fun again(task: RowTask, golden: TextGolden, cancelled: () -> Boolean): GoldenResult {
        val row = task.row(golden)
        otherIds(row.tokenIds, golden)?.let { return GoldenResult(golden, 1.0, it) }
        return compared(task, golden, task.run(row, cancelled))
    }

    private fun again(task: ArrayTask, golden: FileGolden, cancelled: () -> Boolean): GoldenResult {
        val column = task.column(golden) ?: return GoldenResult(golden, 1.0, "other numbers once it is ${task.again}")
        return compared(task, golden, task.run(column, cancelled))
    }

    private fun compared(task: Task, golden: Golden, outputs: Map<String, Tensor>): GoldenResult {
        if (outputs.keys != golden.outputs.keys) {
            val names = { keys: Set<String> -> keys.sorted().joinToString().ifEmpty { "nothing" } }
            return GoldenResult(golden, 1.0, "${names(golden.outputs.keys)} written down, the model gives ${names(outputs.keys)}")
        }
        val tolerance = task.bundle.manifest.tolerance
        var worst = 0.0
        for ((name, there) in golden.outputs) {
            val here = outputs.getValue(name).values
            if (here.size != there.size) return GoldenResult(golden, 1.0, "no $name of ${there.size} numbers")
            val scale = maxOf(task.bundle.manifest.golden.maxOf { largest(it.outputs[name]) }, DIGITS)
            val off = there.indices.maxOfOrNull { abs(here[it] - there[it]) }?.div(scale) ?: 0.0
            worst = maxOf(worst, if (off < DIGITS) 0.0 else off)
            if (off > tolerance) {
                return GoldenResult(golden, worst, "$name off by ${percent(off)}, ${percent(tolerance)} allowed")
            }
        }
        if (task.bundle.manifest.options.answers == Answers.LABELS) {
            val logits = outputs["logits"]?.values ?: return GoldenResult(golden, worst, "no logits")
            val written = golden.outputs.getValue("logits")
            if (differs(logits, FloatArray(logits.size) { written[it].toFloat() }, task.bundle.manifest.options)) {
                return GoldenResult(golden, worst, "another label")
            }
        }
        return GoldenResult(golden, worst, null)
    }

    private fun largest(values: DoubleArray?) = values?.maxOfOrNull { abs(it) } ?: 0.0

    /** Whether other labels answer here than there, where those are clear there. */
    fun differs(here: FloatArray, there: FloatArray, options: TaskOptions): Boolean {
        val (scores, expected) = listOf(here, there).map { Classification.scores(it, options.problem) }
        return when (options.problem) {
            Problem.SINGLE_LABEL -> {
                val ranked = expected.sorted()
                val clear = ranked.size < 2 || ranked[ranked.size - 1] - ranked[ranked.size - 2] > CLEAR
                clear && likeliest(scores) != likeliest(expected)
            }
            Problem.MULTI_LABEL -> expected.indices.any {
                abs(expected[it] - options.threshold) > CLEAR && (scores[it] >= options.threshold) != (expected[it] >= options.threshold)
            }
            Problem.REGRESSION -> false
        }
    }

    /** 0.0123 as "1.23 %". */
    fun percent(share: Double): String {
        val text = java.math.BigDecimal(100 * share).round(java.math.MathContext(3)).toPlainString()
        return (if ('.' in text) text.trimEnd('0').trimEnd('.') else text) + " %"
    }
}
