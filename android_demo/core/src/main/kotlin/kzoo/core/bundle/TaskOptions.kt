package kzoo.core.bundle

import java.util.Locale
import kzoo.core.KzooException

/** Texts, pictures or sounds: `processor` is the bundle's file that says how one becomes numbers, `noun` what an answer calls it. */
enum class Sense(val processor: String, val noun: String) {
    TEXT(TOKENIZER, "text"), IMAGE(PREPROCESSOR, "image"), SOUND(PREPROCESSOR, "sound")
}

/**
 * What a user gives a task: a text, a pair of texts, whichever comes, a text with choices, or what is to
 * be gone on with; a text or a pair, of which each is read by itself in a way of its own; a picture; a sound.
 */
enum class Reads(val sense: Sense = Sense.TEXT) {
    TEXT, PAIR, EITHER, CHOICES, PROMPT, MARKED, IMAGE(Sense.IMAGE), SOUND(Sense.SOUND)
}

/**
 * What outputs become, by the rule that a bundle names: labels or values, a vector, entities, a span of a context, vectors of
 * tokens, by which a text answers another, or text, behind a prompt or of a source.
 */
enum class Answers(vararg val rules: String) {
    LABELS("single_label", "multi_label", "regression"), EMBEDDING("embedding"), ENTITIES("entities"), SPAN("span"),
    LATE_INTERACTION("late_interaction"), CONTINUATION("continuation"), REWRITING("rewriting")
}

/** What a classifier's logits stand for: one label of many, any number of labels, or values. */
enum class Problem { SINGLE_LABEL, MULTI_LABEL, REGRESSION }

/** How near two vectors are, by sentence-transformers' names. */
enum class Similarity { COSINE, DOT, EUCLIDEAN, MANHATTAN }

/**
 * How a task reads and answers: `reads`, `rule` and `task_options` of a manifest of format 3. One of
 * format 2 has no rule, one of format 1 no options either; they get what their tasks did.
 *
 * `answers` is null where no rule is known that the outputs follow;
 * `threshold` is the least probability of an answer's labels; `stride` how many tokens neighbouring
 * windows share, or null for a quarter of the length; `noAnswer` how far no answer must score above
 * the best span, or null where a span always answers; `prompt` what stands before each text; `sources`
 * how one writes that writes of them; `readings` how a text is read that others are compared with, and how those are.
 */
class TaskOptions(
    val answers: Answers? = null,
    val reads: Reads = Reads.EITHER,
    val problem: Problem = Problem.SINGLE_LABEL,
    val threshold: Double = 0.5,
    val stride: Int? = null,
    val noAnswer: Double? = null,
    val prompt: String = "",
    val similarity: Similarity = Similarity.COSINE,
    val sources: SourceOptions? = null,
    val readings: List<MarkedReading> = emptyList(),
) {
    /** KzooException where one text came for a task of pairs, or a pair for one of texts. */
    fun check(name: String, isPair: Boolean) {
        if (reads == Reads.PAIR && !isPair) {
            throw KzooException("$name reads a pair of texts, such as a question and its context; got one text: give two.")
        }
        if ((reads == Reads.TEXT || reads == Reads.PROMPT) && isPair) {
            throw KzooException("$name reads one text at a time; got a pair: give one text.")
        }
    }

    companion object {
        private val KNOWN = setOf(
            "reads", "problem", "threshold", "stride", "no_answer", "prompts", "default_prompt", "similarity",
            "readings",
        ) + SourceOptions.KEYS

        /** What the tasks of formats 1 and 2 answer, and what those of format 1 read. */
        private val OLD = mapOf(
            "TextClassifier" to (Answers.LABELS to Reads.EITHER),
            "TextEmbedder" to (Answers.EMBEDDING to Reads.TEXT), // Two texts in one vector were never learned.
            "TokenClassifier" to (Answers.ENTITIES to Reads.TEXT),
            "QuestionAnswering" to (Answers.SPAN to Reads.PAIR),
        )

        /** What the fields of a manifest say of its task. `source` names it in an error. */
        fun read(fields: Map<*, *>, source: String): TaskOptions {
            val rule = fields["rule"] as? String
            val (old, reads) = OLD[fields["task"]] ?: (null to Reads.EITHER)
            val answers = if ("rule" in fields) Answers.values().find { rule in it.rules } else old
            val given = fields["task_options"] ?: return TaskOptions(answers, reads)
            val options = (given as? Map<*, *> ?: throw KzooException(
                "$source has task_options of a kind that nobody reads (${given.toString().take(40)}): export anew.",
            )) + listOfNotNull(("reads" to fields["reads"]).takeIf { "reads" in fields })
            fun wrong(key: String): Nothing = throw KzooException(
                "$source has task_options of a kind that nobody reads ($key is ${options[key].toString().take(40)}): export anew, " +
                    "or take the program that reads it.",
            )
            options.keys.find { it !in KNOWN }?.let { wrong(it.toString()) }
            fun number(key: String, range: ClosedFloatingPointRange<Double>): Double? {
                val value = options[key] ?: return null
                return (value as? Number)?.toDouble()?.takeIf { it.isFinite() && it in range } ?: wrong(key)
            }
            val finite = -Double.MAX_VALUE..Double.MAX_VALUE
            val stride = number("stride", 0.0..1e9)
            if (stride != null && stride != Math.rint(stride)) wrong("stride")
            val read = options["reads"]?.let { named(Reads.values(), it) ?: wrong("reads") } ?: reads
            val readings = MarkedReading.read(options["readings"], ::wrong)
            if ((read == Reads.MARKED) != (readings.size == 2)) wrong("readings")
            return TaskOptions(
                answers,
                read,
                options["problem"]?.let { named(Problem.values(), it) ?: wrong("problem") } ?: Problem.SINGLE_LABEL,
                number("threshold", 0.0..1.0) ?: 0.5,
                stride?.toInt(),
                number("no_answer", finite),
                options["default_prompt"]?.let { name ->
                    (options["prompts"] as? Map<*, *>)?.get(name) as? String ?: wrong("default_prompt")
                } ?: "",
                options["similarity"]?.let { named(Similarity.values(), it) ?: wrong("similarity") } ?: Similarity.COSINE,
                SourceOptions.read(options, ::wrong),
                readings,
            )
        }

        private fun <T : Enum<T>> named(values: Array<T>, name: Any?): T? =
            values.find { it.name.lowercase(Locale.ROOT) == name }
    }
}
