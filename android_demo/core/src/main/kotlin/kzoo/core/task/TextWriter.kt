package kzoo.core.task

import kzoo.core.KzooException
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Engine

/** Why a text ends: by the token that ends one, or because no more were asked for. */
enum class Ending { END, LENGTH }

/** What was written behind a prompt of so many tokens: new tokens, and the text that they are. */
class Written(val promptTokens: Int, val tokenIds: IntArray, val text: String, val ending: Ending)

/** Writes on from a text, each time with the likeliest token. */
class TextWriter(bundle: Bundle, engine: Engine) : Task(bundle, engine) {
    private val steps = Steps(engine, bundle.manifest.functions, bundle.name)

    /**
     * Writes at most so many tokens, by default 64 or as many as there is room for.
     *
     * `piece` gets the text as it is written, in whole characters.
     *
     * KzooException for a text without a token, and for one that leaves no room.
     */
    fun write(
        text: String,
        maxNewTokens: Int? = null,
        cancelled: () -> Boolean = { false },
        piece: (String) -> Unit = {},
    ): Written {
        val prompt = rows.prompt(text)
        val count = maxNewTokens ?: (steps.cache + 1 - prompt.size).coerceIn(1, USUAL)
        val stream = TextStream(bundle.tokenizer)
        val written = StringBuilder()
        fun give(part: String) {
            written.append(part)
            if (part.isNotEmpty()) piece(part)
        }
        val ids = greedy(prompt, count, bundle.endId, cancelled) { give(stream.push(it)) }
        give(stream.close())
        val ending = if (ids.last() == bundle.endId) Ending.END else Ending.LENGTH
        return Written(prompt.size, ids, written.toString(), ending)
    }

    /** The likeliest tokens behind a prompt, up to and with the one that ends a text. */
    internal fun greedy(
        prompt: IntArray,
        count: Int,
        endId: Int?,
        cancelled: () -> Boolean = { false },
        each: (Int) -> Unit = {},
    ): IntArray {
        if (count < 1) throw KzooException("Got $count new tokens; expected 1 at least.")
        // The last new token is never read, and so needs no place.
        val most = steps.cache + 1
        if (prompt.size.toLong() + count > most) {
            throw KzooException(
                "Got ${prompt.size} tokens to write on from and $count new ones; expected $most together at most, for " +
                    "${bundle.name} has a cache of ${steps.cache}: shorten one of them.",
            )
        }
        return inTurn {
            steps.start()
            val ids = IntArray(count)
            var logits = steps.read(prompt, cancelled)
            for (place in 0 until count) {
                ids[place] = likeliest(logits)
                each(ids[place])
                if (ids[place] == endId) return@inTurn ids.copyOf(place + 1)
                if (place + 1 < count) logits = steps.read(intArrayOf(ids[place]), cancelled)
            }
            ids
        }
    }

    /** The ids that a text to write on from has. */
    internal fun prompt(text: String): IntArray = rows.prompt(text)

    /** Calls `each` with the logits behind a prompt, and behind each token that follows. */
    internal fun follow(prompt: IntArray, next: IntArray, cancelled: () -> Boolean, each: (Int, FloatArray) -> Unit) = inTurn {
        steps.start()
        var logits = steps.read(prompt, cancelled)
        for (place in next.indices) {
            each(place, logits)
            if (place + 1 < next.size) logits = steps.read(intArrayOf(next[place]), cancelled)
        }
    }

    override fun runOn(tokens: Int, cancelled: () -> Boolean) = follow(IntArray(tokens) { 1 }, intArrayOf(1), cancelled) { _, _ -> }

    override fun json(text: String, pair: String?): Map<String, Any?> {
        check(pair)
        val written = write(text)
        return Reading(written.promptTokens, truncated = false, empty = false).json(text, null) + ("continuation" to written.text)
    }

    private fun likeliest(logits: FloatArray): Int {
        var best = 0
        for (id in logits.indices) if (logits[id] > logits[best]) best = id
        return best
    }

    private companion object {
        const val USUAL = 64
    }
}
