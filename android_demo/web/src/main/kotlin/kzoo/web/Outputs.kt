package kzoo.web

import kzoo.core.KzooException
import kzoo.core.bundle.Answers
import kzoo.core.bundle.TaskOptions
import kzoo.core.task.BundleCheck
import org.teavm.jso.JSByRef
import org.teavm.jso.JSExport
import org.teavm.jso.JSObject

/** What JavaScript asks of a task about outputs that it has. */
open class Judge internal constructor(internal val options: TaskOptions) {
    /** How near two vectors are, as this bundle's model has learnt it. */
    @JSExport
    fun similarity(@JSByRef one: FloatArray, @JSByRef other: FloatArray): Double =
        kzoo.core.task.similarity(one, other, options.similarity)

    /** The length of a bar for a similarity, 0 to 1. */
    @JSExport
    fun share(similarity: Double): Double {
        val query = options.readings.firstOrNull() ?: return kzoo.core.task.share(similarity, options.similarity)
        return (similarity / query.length).coerceIn(0.0, 1.0) // A product of at most one for each of its tokens.
    }

    /** Whether other labels answer here than there, where those are clear there. */
    @JSExport
    fun differs(@JSByRef here: FloatArray, @JSByRef there: FloatArray): Boolean =
        options.answers == Answers.LABELS && BundleCheck.differs(here, there, options)
}

/** What a model gave on one run, by name. */
internal class Outputs {
    private val all = HashMap<String, FloatArray>()

    fun give(name: String, values: FloatArray) {
        if (values.any { it.isNaN() || it.isInfinite() }) throw KzooException("The model gives $name that is no number: export anew.")
        all[name] = values
    }

    /** Of so many numbers, where `size` says how many. */
    fun of(name: String, size: Int?): FloatArray {
        val values = all[name] ?: throw KzooException("The model gives ${all.keys.sorted().joinToString()}, not $name: export anew.")
        if (size != null && values.size != size) {
            throw KzooException("The model gives $name of ${values.size} numbers; $size were expected: export anew.")
        }
        return values
    }
}

/**
 * An answer as JavaScript's own values. The scores are pairs in the bundle's order: a label can have
 * any name, and JavaScript's objects keep neither "__proto__" nor the order of "10" and "2".
 */
internal fun answered(answer: Map<String, Any?>): JSObject? =
    javaScript(answer.mapValues { (_, value) -> if (value is Map<*, *>) value.map { it.toPair().toList() } else value })
