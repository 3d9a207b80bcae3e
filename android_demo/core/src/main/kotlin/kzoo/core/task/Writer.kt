package kzoo.core.task

import kzoo.core.KzooException
import kzoo.core.bundle.FunctionShapes
import kzoo.core.bundle.TextGolden
import kzoo.core.bundle.ModelFunction
import kzoo.core.tokenizer.Tokenizer

/**
 * A model's functions, its tokenizer and what ends a text: all that it takes to write. One text at a
 * time is written or read again, for all are read into one cache.
 *
 * `stated` is what the manifest says of the functions, `name` what the bundle is called in an error.
 */
class Writer(
    functions: Map<String, ModelFunction>,
    stated: Map<String, FunctionShapes>,
    private val name: String,
    private val tokenizer: Tokenizer,
    private val rows: RowMaker,
    private val endId: Int?,
) {
    private val steps = PromptSteps(functions, stated, name)

    /**
     * Begins to write behind a text: `maxNewTokens` at most or, where that is null, `usual` or as many
     * as there is room for.
     *
     * KzooException for a text without a token, and for one that leaves no room.
     */
    fun begin(text: String, maxNewTokens: Int? = null, usual: Int = USUAL): Writing {
        val prompt = rows.prompt(text)
        // The last new token is never read, and so needs no place.
        val most = steps.cache + 1
        val count = maxNewTokens ?: (most - prompt.size).coerceIn(1, usual)
        if (count < 1) throw KzooException("Got $count new tokens; expected 1 at least.")
        if (prompt.size.toLong() + count > most) {
            throw KzooException(
                "Got ${prompt.size} tokens to write on from and $count new ones; expected $most together at most, for " +
                    "$name has a cache of ${steps.cache}: shorten one of them.",
            )
        }
        val settings = Settings(count, endTokenIds = listOfNotNull(endId))
        return Greedy(steps, tokenizer, prompt.size, settings, CONTINUATION, prompt) { cancelled -> steps.begin(prompt, cancelled) }
    }

    /** Begins to go through a golden example again. */
    fun again(golden: TextGolden, tolerance: Double): ReadAgain {
        val prompt = rows.prompt(golden.text)
        return ReadAgain(steps, prompt, golden, tolerance) { cancelled -> steps.begin(prompt, cancelled) }
    }

    /** Reads a prompt of so many tokens, whichever they are. */
    fun runOn(tokens: Int, cancelled: () -> Boolean = { false }) {
        steps.begin(IntArray(tokens) { 1 }, cancelled)
    }

    companion object {
        /** How many new tokens are written where nobody says. */
        const val USUAL = 64

        /** What an answer calls what is written. */
        private const val CONTINUATION = "continuation"
    }
}
