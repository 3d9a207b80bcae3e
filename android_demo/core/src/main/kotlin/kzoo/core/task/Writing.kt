package kzoo.core.task

import kzoo.core.tokenizer.Tokenizer

/** Why a text ends: by the token that ends one, or because no more were asked for. */
enum class Ending { END, LENGTH }

/**
 * A text on its way. Whoever writes calls `next` until there is an `ending`, and stops whenever they like.
 *
 * `promptTokens` is how many tokens were given to write on from, or of; `called` what an answer calls what
 * is written, and `begin` reads what was given.
 */
abstract class Writing internal constructor(
    val promptTokens: Int, private val called: String, private val begin: (cancelled: () -> Boolean) -> FloatArray,
) {
    private var nanoseconds = 0L

    /** How many new tokens there are. */
    abstract val tokens: Int

    /** Which they are; of several texts that are followed at a time, those of the likeliest. */
    abstract val tokenIds: IntArray

    /** The text that they are, in whole characters. */
    abstract val text: String

    /** Whether `text` only grows, by the pieces that `next` gives; of several texts another may take its place. */
    abstract val isGrowing: Boolean

    /** Null while the text goes on. */
    abstract val ending: Ending?

    /** How long the prompt and the first token behind it took; null before that. */
    var firstMilliseconds: Double? = null
        private set

    /** How many of the tokens after the first were written a second; null before there is one. */
    val tokensPerSecond: Double? get() = if (tokens > 1 && nanoseconds > 0) (tokens - 1) * 1e9 / nanoseconds else null

    /**
     * Writes one token more.
     *
     * @return the text that is certain now, often empty: characters are given whole
     */
    fun next(cancelled: () -> Boolean = { false }): String {
        check(ending == null) { "The text has ended." }
        val start = System.nanoTime()
        val isFirst = tokens == 0
        val piece = write(if (isFirst) begin(cancelled) else null, cancelled)
        val took = System.nanoTime() - start
        if (isFirst) firstMilliseconds = took / 1e6 else nanoseconds += took
        return piece
    }

    /** One token more; `first` are the logits behind what was given, where none was written yet. */
    protected abstract fun write(first: FloatArray?, cancelled: () -> Boolean): String

    /** What was written, as `kzoo predict --json` has it for the text that was given. */
    fun json(prompt: String): Map<String, Any?> =
        Reading(promptTokens, truncated = false, empty = false).json(prompt, null) + (called to text)
}

/** A text of which each token is the likeliest, up to and with the one that ends it; `prompt` is what its decoder was given. */
internal class Greedy(
    private val steps: Steps,
    tokenizer: Tokenizer,
    promptTokens: Int,
    private val settings: Settings,
    called: String,
    private val prompt: IntArray,
    begin: (cancelled: () -> Boolean) -> FloatArray,
) : Writing(promptTokens, called, begin) {
    private val stream = TextStream(tokenizer)
    private val ids = ArrayList<Int>()
    private val written = StringBuilder()

    override val tokens get() = ids.size
    override val tokenIds get() = ids.toIntArray()
    override val isGrowing get() = true
    override val text get() = written.toString()
    override var ending: Ending? = null
        private set

    override fun write(first: FloatArray?, cancelled: () -> Boolean): String {
        val scores = first ?: steps.step(ids.last(), cancelled)
        ids.add(likeliest(settings.processed(scores, prompt, tokenIds)))
        val piece = StringBuilder(stream.push(ids.last()))
        ending = when {
            ids.last() in settings.endTokenIds -> Ending.END
            ids.size == settings.maxNewTokens -> Ending.LENGTH
            else -> null
        }
        if (ending != null) piece.append(stream.close())
        written.append(piece)
        return piece.toString()
    }

    private fun likeliest(scores: FloatArray): Int {
        var best = 0
        for (id in scores.indices) if (scores[id] > scores[best]) best = id
        return best
    }
}
