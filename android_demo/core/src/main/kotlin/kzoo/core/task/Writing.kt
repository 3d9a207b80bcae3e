package kzoo.core.task

import kzoo.core.tokenizer.Tokenizer

/** Why a text ends: by the token that ends one, or because no more were asked for. */
enum class Ending { END, LENGTH }

/**
 * A text that is written behind a prompt, each time with the likeliest token, up to and with the one
 * that ends a text.
 *
 * Whoever writes calls `next` until there is an `ending`, and stops whenever they like.
 */
class Writing internal constructor(
    private val steps: Steps,
    tokenizer: Tokenizer,
    private val prompt: IntArray,
    private val count: Int,
    private val endId: Int?,
) {
    private val stream = TextStream(tokenizer)
    private val ids = ArrayList<Int>()
    private val written = StringBuilder()
    private var nanoseconds = 0L

    /** How many tokens the prompt has. */
    val promptTokens: Int get() = prompt.size

    /** How many new ones there are, and which. */
    val tokens: Int get() = ids.size
    val tokenIds: IntArray get() = ids.toIntArray()

    /** The text that they are, in whole characters. */
    val text: String get() = written.toString()

    /** Null while the text goes on. */
    var ending: Ending? = null
        private set

    /** How long the prompt and the first token behind it took; null before that. */
    var firstMilliseconds: Double? = null
        private set

    /** How many of the tokens after the first were written a second; null before there is one. */
    val tokensPerSecond: Double? get() = if (ids.size > 1 && nanoseconds > 0) (ids.size - 1) * 1e9 / nanoseconds else null

    /**
     * Writes one token more.
     *
     * @return the text that is certain now, often empty: characters are given whole
     */
    fun next(cancelled: () -> Boolean = { false }): String {
        check(ending == null) { "The text has ended." }
        val start = System.nanoTime()
        if (ids.isEmpty()) steps.start()
        ids.add(likeliest(steps.read(if (ids.isEmpty()) prompt else intArrayOf(ids.last()), cancelled)))
        val piece = StringBuilder(stream.push(ids.last()))
        ending = when {
            ids.last() == endId -> Ending.END
            ids.size == count -> Ending.LENGTH
            else -> null
        }
        if (ending != null) piece.append(stream.close())
        written.append(piece)
        val took = System.nanoTime() - start
        if (ids.size == 1) firstMilliseconds = took / 1e6 else nanoseconds += took
        return piece.toString()
    }

    /** What was written, as `kzoo predict --json` has it for the text of the prompt. */
    fun json(prompt: String): Map<String, Any?> =
        Reading(promptTokens, truncated = false, empty = false).json(prompt, null) + ("continuation" to text)

    private fun likeliest(logits: FloatArray): Int {
        var best = 0
        for (id in logits.indices) if (logits[id] > logits[best]) best = id
        return best
    }
}
