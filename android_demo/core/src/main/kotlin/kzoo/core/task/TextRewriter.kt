package kzoo.core.task

import kzoo.core.KzooException
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Engine
import kzoo.core.bundle.SourceOptions
import kzoo.core.bundle.TextGolden

/** Writes of a text: translates it, summarizes it, or whatever its model has learnt. */
class TextRewriter(bundle: Bundle, engine: Engine) : TextTask(bundle, engine) {
    private val sources: SourceOptions = options.sources ?: throw KzooException("${bundle.name} doesn't say how it writes of sources: export anew.")
    private val rewriter = Rewriter(engine.functions, bundle.manifest.functions, bundle.name, bundle.tokenizer, rows, bundle.endId, sources)

    /** Codes of the languages that it can write in, in the tokenizer's order; none where it knows no codes. */
    val languages: List<String> get() = sources.languages.keys.toList()

    /** The one that it writes in where nobody says. */
    val language: String? get() = sources.targetLanguage

    /** How many texts it follows at a time where nobody says. */
    val numBeams: Int get() = sources.settings.numBeams

    /**
     * Writes as `Rewriter.begin` says, to the end.
     *
     * `each` is told after every token how far the text is, and gets the piece of it that is certain now; of
     * several beams that is all of it, at the end.
     */
    fun write(
        text: String,
        language: String? = null,
        numBeams: Int? = null,
        maxNewTokens: Int? = null,
        cancelled: () -> Boolean = { false },
        each: (Writing, String) -> Unit = { _, _ -> },
    ): Writing {
        val writing = rewriter.begin(text, language, numBeams, maxNewTokens)
        inTurn {
            while (writing.ending == null) each(writing, writing.next(cancelled))
        }
        return writing
    }

    /** Goes through a golden example again. */
    internal fun again(golden: TextGolden, cancelled: () -> Boolean): GoldenResult {
        val reading = rewriter.again(golden, bundle.manifest.tolerance)
        return inTurn {
            while (reading.result == null) reading.next(cancelled)
            reading.result!!
        }
    }

    internal override val lengths: List<Int> get() = lengths(rewriter.longest)

    override fun runOn(tokens: Int, cancelled: () -> Boolean) = inTurn { rewriter.runOn(tokens, cancelled) }

    override fun json(text: String, pair: String?): Map<String, Any?> {
        check(pair)
        return write(text).json(text)
    }
}
