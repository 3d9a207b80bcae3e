package kzoo.web

import kzoo.core.KzooException
import kzoo.core.bundle.Manifest
import kzoo.core.bundle.TextGolden
import kzoo.core.json.Json
import kzoo.core.task.Ending
import kzoo.core.task.ReadAgain
import kzoo.core.task.Rewriter
import kzoo.core.task.RowMaker
import kzoo.core.task.Writer
import kzoo.core.task.Writing
import kzoo.core.tokenizer.endOfText
import org.teavm.jso.JSExport
import org.teavm.jso.JSProperty

/** What writes in a browser: the core's writer over functions that JavaScript runs. */
class WebWriter internal constructor(tokenizer: WebTokenizer, functions: Array<WebFunction>, private val manifest: Manifest, special: String?) {
    private val writer = Writer(
        InJavaScript.of(functions),
        manifest.functions,
        "The bundle",
        tokenizer.inner,
        RowMaker(tokenizer.inner, manifest.maxLength, null),
        endOfText(tokenizer.inner, special?.let { Json.parse(it) as? Map<*, *> }),
    )

    /** Begins to write behind a text, which no pair is; as much as a bundle usually does or, if so asked, as there is room for. */
    @JSExport
    fun begin(text: String, pair: String?, toTheEnd: Boolean): WebWriting {
        manifest.options.check("The bundle", pair != null)
        return WebWriting(text, writer.begin(text, usual = if (toTheEnd) Int.MAX_VALUE else Writer.USUAL))
    }

    /** Begins to go through the golden example at a place of the manifest. */
    @JSExport
    fun again(place: Int) = WebReadAgain(writer.again(manifest.golden[place] as TextGolden, manifest.tolerance))

    /** Reads a prompt of so many tokens, whichever they are. */
    @JSExport
    fun runOn(tokens: Int) = writer.runOn(tokens)
}

/** What writes of sources in a browser, in the same way. */
class WebRewriter internal constructor(tokenizer: WebTokenizer, functions: Array<WebFunction>, private val manifest: Manifest, special: String?) {
    private val sources = manifest.options.sources ?: throw KzooException("The bundle doesn't say how it writes of sources: export anew.")
    private val rewriter = Rewriter(
        InJavaScript.of(functions),
        manifest.functions,
        "The bundle",
        tokenizer.inner,
        RowMaker(tokenizer.inner, manifest.maxLength, null),
        endOfText(tokenizer.inner, special?.let { Json.parse(it) as? Map<*, *> }),
        sources,
    )

    /** Codes of the languages that it can write in. */
    @get:JSExport
    @get:JSProperty
    val languages: Array<String> get() = sources.languages.keys.toTypedArray()

    /** The one that it writes in where nobody says, or null. */
    @get:JSExport
    @get:JSProperty
    val language: String? get() = sources.targetLanguage

    /** How many texts it follows at a time where nobody says. */
    @get:JSExport
    @get:JSProperty
    val beams: Int get() = sources.settings.numBeams

    /** How many tokens a source has at most. */
    @get:JSExport
    @get:JSProperty
    val longest: Int get() = rewriter.longest

    /** Begins to write of a text, which no pair is, in a language that may be null, with so many beams, of which 0 are the bundle's own. */
    @JSExport
    fun begin(text: String, pair: String?, language: String?, beams: Int): WebWriting {
        manifest.options.check("The bundle", pair != null)
        return WebWriting(text, rewriter.begin(text, language, beams.takeIf { it > 0 }))
    }

    /** Begins to go through the golden example at a place of the manifest. */
    @JSExport
    fun again(place: Int) = WebReadAgain(rewriter.again(manifest.golden[place] as TextGolden, manifest.tolerance))

    /** Reads a source of so many tokens, whichever they are. */
    @JSExport
    fun runOn(tokens: Int) = rewriter.runOn(tokens)
}

/** A text on its way: `next` gives the piece that is certain after one token more. */
class WebWriting internal constructor(private val prompt: String, private val writing: Writing) {
    @JSExport
    fun next(): String = writing.next()

    @get:JSExport
    @get:JSProperty
    val tokens: Int get() = writing.tokens

    @get:JSExport
    @get:JSProperty
    val tokenIds: IntArray get() = writing.tokenIds

    @get:JSExport
    @get:JSProperty
    val isEnded: Boolean get() = writing.ending != null

    /** Whether the text only grows, by the pieces that `next` gives. */
    @get:JSExport
    @get:JSProperty
    val isGrowing: Boolean get() = writing.isGrowing

    /** The text so far. */
    @get:JSExport
    @get:JSProperty
    val text: String get() = writing.text

    /** Whether the model ended the text, and not a lack of room. */
    @get:JSExport
    @get:JSProperty
    val isWhole: Boolean get() = writing.ending == Ending.END

    /** Milliseconds to the first token, 0 before there is one. */
    @get:JSExport
    @get:JSProperty
    val firstMilliseconds: Double get() = writing.firstMilliseconds ?: 0.0

    /** Tokens a second after the first one, 0 before there is a second. */
    @get:JSExport
    @get:JSProperty
    val tokensPerSecond: Double get() = writing.tokensPerSecond ?: 0.0

    /** What was written, as `kzoo predict --json` has it. */
    @JSExport
    fun json(): String = Json.write(writing.json(prompt))
}

/** A golden example on its way. */
class WebReadAgain internal constructor(private val reading: ReadAgain) {
    @JSExport
    fun next() = reading.next()

    @get:JSExport
    @get:JSProperty
    val isEnded: Boolean get() = reading.result != null

    /** What is wrong with it, null where nothing is. */
    @get:JSExport
    @get:JSProperty
    val reason: String? get() = reading.result?.reason

    @get:JSExport
    @get:JSProperty
    val difference: Double get() = reading.result?.difference ?: 0.0
}
