package kzoo.core.task

import kzoo.core.KzooException
import kzoo.core.bundle.FunctionShapes
import kzoo.core.bundle.ModelFunction
import kzoo.core.bundle.SourceOptions
import kzoo.core.bundle.TextGolden
import kzoo.core.tokenizer.Tokenizer

/**
 * A model's functions, its tokenizer and how its task writes of sources: translations, summaries, answers.
 * One text at a time is written or read again, as by a `Writer`.
 *
 * `stated` is what the manifest says of the functions, `name` what the bundle is called in an error.
 */
class Rewriter(
    functions: Map<String, ModelFunction>,
    stated: Map<String, FunctionShapes>,
    private val name: String,
    private val tokenizer: Tokenizer,
    private val rows: RowMaker,
    private val endId: Int?,
    private val options: SourceOptions,
) {
    private val steps = SourceSteps(functions, stated, name)

    /** How many tokens a source has at most. */
    val longest: Int = minOf(options.sourceLength, steps.length ?: options.sourceLength)

    /**
     * Begins to write of a source; what is null is as the task's own settings say.
     *
     * `language` is the code of the one to write in, `numBeams` how many texts are followed at a time: 1 takes
     * the likeliest token each time. KzooException for a source without a token or with too many, and for
     * what the model can't do.
     */
    fun begin(text: String, language: String? = null, numBeams: Int? = null, maxNewTokens: Int? = null): Writing {
        val source = source(text)
        val (start, forced) = options.beginning(language)
        val most = maxNewTokens ?: minOf(options.settings.maxNewTokens ?: Writer.USUAL, steps.cache)
        if (most > steps.cache) {
            throw KzooException("Got $most new tokens; expected ${steps.cache} at most, for $name has a cache of as many.")
        }
        val settings = options.settings.with(most, numBeams, listOfNotNull(endId), forced)
        settings.check(steps.vocabulary)
        val prompt = intArrayOf(start)
        val begin = { cancelled: () -> Boolean -> steps.begin(source, start, cancelled) }
        return if (settings.numBeams > 1) Beams(steps, tokenizer, source.size, settings, WRITTEN, prompt, begin)
        else Greedy(steps, tokenizer, source.size, settings, WRITTEN, prompt, begin)
    }

    /** Begins to go through a golden example again. */
    fun again(golden: TextGolden, tolerance: Double): ReadAgain {
        val source = source(golden.text)
        val (start, forced) = options.beginning(null)
        return ReadAgain(steps, source, golden, tolerance, forced.size) { cancelled -> steps.begin(source, start, cancelled) }
    }

    /** Reads a source of so many tokens, whichever they are, and one token of what is written. */
    fun runOn(tokens: Int, cancelled: () -> Boolean = { false }) {
        steps.begin(IntArray(tokens) { 1 }, options.beginning(null).first, cancelled)
    }

    /** The ids of a source, in its language. */
    private fun source(text: String): IntArray {
        val ids = options.inLanguage(rows.source(text))
        if (ids.size > longest) {
            throw KzooException("Got ${ids.size} tokens in the source; expected 1 to $longest, the places that the encoder has: shorten it.")
        }
        return ids
    }

    private companion object {
        /** What an answer calls what is written. */
        const val WRITTEN = "written"
    }
}
