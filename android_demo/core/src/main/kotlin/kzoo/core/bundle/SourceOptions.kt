package kzoo.core.bundle

import kzoo.core.KzooException
import kzoo.core.task.EarlyStopping
import kzoo.core.task.Settings

/**
 * How a task writes of sources, as a manifest's task options say: see `rewriting_options` in
 * kzoo/generation/rewriter.py.
 *
 * `startId` is what the decoder is given first, `sourceLength` how many tokens a source has at most,
 * `languages` the tokens of languages by their codes. `startsWithCode` says that such a token is what the
 * decoder is given first, and not what is written first.
 */
class SourceOptions internal constructor(
    val startId: Int,
    val sourceLength: Int,
    val settings: OwnSettings,
    val languages: Map<String, Int>,
    val sourceLanguage: String?,
    val targetLanguage: String?,
    val startsWithCode: Boolean,
) {
    /** A source's ids with the token of its language where its special tokens have one. */
    internal fun inLanguage(ids: IntArray): IntArray {
        val own = languages[sourceLanguage ?: return ids] ?: return ids
        val known = languages.values.toSet()
        return IntArray(ids.size) { if (ids[it] in known) own else ids[it] }
    }

    /** What the decoder is given first, and what it writes first; `language` is a code in place of the task's own. */
    internal fun beginning(language: String?): Pair<Int, List<Int>> {
        val code = language ?: targetLanguage ?: return startId to emptyList()
        val id = languages[code] ?: throw KzooException(
            "Got the language ${code.take(40)}; expected one of ${languages.keys.sorted().take(60).joinToString().ifEmpty { "none, for this bundle has no such tokens" }}.",
        )
        return if (startsWithCode) id to emptyList() else startId to listOf(id)
    }

    internal companion object {
        /** The options that these are read from; all are there, or none. */
        val KEYS = listOf("start_id", "source_length", "generation", "languages", "source_language", "target_language", "starts_with_code")

        /** Null where they are none of sources; `wrong` throws for one of a kind that nobody reads. */
        fun read(options: Map<*, *>, wrong: (String) -> Nothing): SourceOptions? {
            if (KEYS.none { it in options }) return null
            KEYS.find { it !in options }?.let(wrong)
            fun id(value: Any?, key: String, least: Int = 0) =
                (value as? Number)?.toDouble()?.takeIf { it == Math.rint(it) && it in least.toDouble()..1e9 }?.toInt() ?: wrong(key)
            val languages = (options["languages"] as? Map<*, *> ?: wrong("languages")).entries.associate { (code, id) -> code.toString() to id(id, "languages") }
            fun code(key: String) = options[key]?.let { code -> (code as? String)?.takeIf { it in languages } ?: wrong(key) }
            return SourceOptions(
                id(options["start_id"], "start_id"),
                id(options["source_length"], "source_length", 1),
                OwnSettings.read(options["generation"] as? Map<*, *> ?: wrong("generation")) { wrong("generation's $it") },
                languages,
                code("source_language"),
                code("target_language"),
                options["starts_with_code"] as? Boolean ?: wrong("starts_with_code"),
            )
        }
    }
}

/** How a task writes where a call says nothing else; what is null is as usual. */
class OwnSettings private constructor(val maxNewTokens: Int?, val numBeams: Int, private val endTokenIds: List<Int>?, private val own: Settings) {
    /** The settings of a call: `forced` are the tokens of its language. */
    internal fun with(most: Int, numBeams: Int?, usualEnd: List<Int>, forced: List<Int>) = Settings(
        most, minOf(own.minNewTokens, most), numBeams ?: this.numBeams, own.lengthPenalty, own.earlyStopping, own.repetitionPenalty,
        own.noRepeatNgramSize, endTokenIds ?: usualEnd, forced.ifEmpty { own.forcedTokenIds }, own.endsAtLast, own.forbiddenTokenIds,
    )

    internal companion object {
        /** Settings that draw tokens, and texts that end one: what this program hasn't. */
        private val NOT_HERE = setOf("temperature", "top_k", "top_p", "min_p", "stop_strings")
        private val KNOWN = setOf(
            "max_new_tokens", "min_new_tokens", "num_beams", "length_penalty", "early_stopping", "repetition_penalty",
            "no_repeat_ngram_size", "end_token_ids", "forced_token_ids", "ends_at_last", "forbidden_token_ids",
            "seed", "num_return_sequences", // Which change nothing of the best answer where none is drawn.
        )

        fun read(fields: Map<*, *>, wrong: (String) -> Nothing): OwnSettings {
            val given = fields.filterValues { it != null && it != emptyList<Any?>() }
            given.keys.find { it in NOT_HERE }?.let {
                throw KzooException("The bundle writes by $it, which this program doesn't do: export it without, or take `kzoo generate`.")
            }
            given.keys.find { it !in KNOWN }?.let { wrong(it.toString()) }
            fun number(key: String, range: ClosedFloatingPointRange<Double>) =
                given[key]?.let { value -> (value as? Number)?.toDouble()?.takeIf { it in range } ?: wrong(key) }
            fun whole(key: String, least: Int) = number(key, least.toDouble()..1e9)?.let { if (it == Math.rint(it)) it.toInt() else wrong(key) }
            fun ids(key: String) = given[key]?.let { value ->
                (value as? List<*> ?: listOf(value)).map { id -> (id as? Number)?.toInt()?.takeIf { it >= 0 } ?: wrong(key) }
            }
            val beams = whole("num_beams", 1) ?: 1
            val most = whole("max_new_tokens", 1)
            val own = Settings(
                most ?: Int.MAX_VALUE,
                whole("min_new_tokens", 0) ?: 0,
                beams,
                number("length_penalty", -10.0..10.0) ?: 1.0,
                when (given["early_stopping"] ?: false) {
                    true -> EarlyStopping.YES
                    false -> EarlyStopping.NO
                    "never" -> EarlyStopping.NEVER
                    else -> wrong("early_stopping")
                },
                number("repetition_penalty", 1e-4..1e4) ?: 1.0,
                whole("no_repeat_ngram_size", 0) ?: 0,
                forcedTokenIds = ids("forced_token_ids").orEmpty(),
                endsAtLast = given["ends_at_last"]?.let { it as? Boolean ?: wrong("ends_at_last") } ?: false,
                forbiddenTokenIds = ids("forbidden_token_ids").orEmpty(),
            )
            return OwnSettings(most, beams, ids("end_token_ids"), own)
        }
    }
}
