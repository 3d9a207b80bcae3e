package kzoo.core.task

import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Engine
import kzoo.core.bundle.TextGolden

/** Writes on from a text, each time with the likeliest token. */
class TextWriter(bundle: Bundle, engine: Engine) : TextTask(bundle, engine) {
    private val writer = Writer(engine.functions, bundle.manifest.functions, bundle.name, bundle.tokenizer, rows, bundle.endId)

    /**
     * Writes as `Writer.begin` says, to the end.
     *
     * `each` is told after every token how far the text is, and gets the piece of it that is certain
     * now, often empty: characters are given whole.
     */
    fun write(
        text: String,
        maxNewTokens: Int? = null,
        usual: Int = Writer.USUAL,
        cancelled: () -> Boolean = { false },
        each: (Writing, String) -> Unit = { _, _ -> },
    ): Writing {
        val writing = writer.begin(text, maxNewTokens, usual)
        inTurn {
            while (writing.ending == null) each(writing, writing.next(cancelled))
        }
        return writing
    }

    /** Goes through a golden example again. */
    internal fun again(golden: TextGolden, cancelled: () -> Boolean): GoldenResult {
        val reading = writer.again(golden, bundle.manifest.tolerance)
        return inTurn {
            while (reading.result == null) reading.next(cancelled)
            reading.result!!
        }
    }

    override fun runOn(tokens: Int, cancelled: () -> Boolean) = inTurn { writer.runOn(tokens, cancelled) }

    override fun json(text: String, pair: String?): Map<String, Any?> {
        check(pair)
        return write(text).json(text)
    }
}
