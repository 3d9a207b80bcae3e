@file:JvmName("Web")

package kzoo.web

import java.io.ByteArrayInputStream
import kzoo.core.KzooException
import kzoo.core.bundle.Answers
import kzoo.core.bundle.Manifest
import kzoo.core.bundle.PREPROCESSOR
import kzoo.core.bundle.Sense
import kzoo.core.bundle.TaskOptions
import kzoo.core.json.Json
import kzoo.core.task.NamesAsked
import kzoo.core.task.RowMaker
import kzoo.core.task.Towers
import kzoo.core.tokenizer.Encoding
import kzoo.core.tokenizer.Tokenizer
import kzoo.core.tokenizer.codePointOffsets
import org.teavm.jso.JSByRef
import org.teavm.jso.JSExceptions
import org.teavm.jso.JSExport
import org.teavm.jso.JSObject
import org.teavm.jso.JSProperty

/* What JavaScript sees of the core. */

/** The tokenizer of a tokenizer.json's bytes. */
@JSExport
fun tokenizer(@JSByRef bytes: ByteArray) = WebTokenizer(Tokenizer.read(ByteArrayInputStream(bytes)))

/**
 * How a bundle answers; `labels` may be null, `length` is 0 where the model takes any. `declared` is the
 * JSON of what the manifest has of `task`, `task_options`, `reads` and `rule`.
 */
@JSExport
fun reader(tokenizer: WebTokenizer, labels: Array<String>?, maxLength: Int, length: Int, declared: String): Reader {
    val fields = Json.parse(declared) as? Map<*, *> ?: emptyMap<String, Any?>()
    val read = TaskOptions.read(fields, "kzoo.json")
    return Reader(labels?.asList(), read, RowMaker(tokenizer.inner, maxLength, length.takeIf { it > 0 }, read.stride))
}

/** Which answers the page gives of what it reads. */
private val ANSWERED = mapOf(
    Sense.TEXT to Answers.values().toSet(),
    Sense.IMAGE to setOf(Answers.LABELS, Answers.EMBEDDING),
    Sense.SOUND to setOf(Answers.LABELS),
)

private fun options(declared: String): Pair<TaskOptions, Answers> {
    val fields = Json.parse(declared) as? Map<*, *> ?: emptyMap<String, Any?>()
    val options = TaskOptions.read(fields, "kzoo.json")
    val answers = options.answers?.takeIf { it in ANSWERED.getValue(options.reads.sense) } ?: throw KzooException(
        "The bundle holds a ${fields["task"]}; this page answers to texts with labels, vectors, entities, spans, scores and text, to pictures " +
            "with labels and vectors, and to sounds with labels: take the page that reads it.",
    )
    return options to answers
}

/** What a bundle reads: "text", "image" or "sound". */
@JSExport
fun sense(declared: String): String = options(declared).first.reads.sense.noun

/** By which of the core's rules it answers: "labels", "embedding", "entities", "span", "late_interaction", "continuation" or "rewriting". */
@JSExport
fun kind(declared: String): String = options(declared).second.name.lowercase()

private fun manifest(text: String) = Manifest.of(Json.parse(text) as Map<*, *>, "kzoo.json")

private fun preprocessor(text: String) =
    Json.parse(text) as? Map<*, *> ?: throw KzooException("$PREPROCESSOR is no JSON object: export anew.")

/** How a bundle of pictures answers; `manifest` is a checked kzoo.json, `config` the text of preprocessor_config.json. */
@JSExport
fun pictures(manifest: String, config: String) = PictureReader(manifest(manifest), preprocessor(config))

/** The same of sounds. */
@JSExport
fun sounds(manifest: String, config: String) = SoundReader(manifest(manifest), preprocessor(config))

/**
 * What writes, with the functions of a model; `manifest` is a checked kzoo.json, `special` the text of
 * special_tokens_map.json or null.
 */
@JSExport
fun writer(tokenizer: WebTokenizer, functions: Array<WebFunction>, manifest: String, special: String?): WebWriter =
    WebWriter(tokenizer, functions, manifest(manifest), special)

/** The same for one that writes of sources. */
@JSExport
fun rewriter(tokenizer: WebTokenizer, functions: Array<WebFunction>, manifest: String, special: String?): WebRewriter =
    WebRewriter(tokenizer, functions, manifest(manifest), special)

/** Labels and templates that may be null, for a bundle that `together` describes: a checked towers.json; `name` is the bundle's. */
@JSExport
fun names(labels: Array<String>?, templates: Array<String>?, together: String, name: String): WebNames {
    val own = Json.parse(together) as Map<*, *>
    fun strings(field: String) = (own[field] as List<*>?)?.map { it.toString() }
    val asked = NamesAsked.of(labels?.asList(), templates?.asList(), strings("labels"), strings("templates").orEmpty(), name, own["task"].toString())
    return WebNames(asked, (own["scale"] as Number).toDouble())
}

/** Refuses a text that a tower of texts would cut. */
@JSExport
fun cut(text: String, tokens: Int) {
    throw Towers.cut(text, tokens)
}

/** The sentence of an error that the core threw for a user; null of any other. */
@JSExport
fun sentence(error: JSObject): String? = (JSExceptions.getJavaException(error) as? KzooException)?.message

class WebTokenizer(internal val inner: Tokenizer) {
    @JSExport
    fun ids(text: String, special: Boolean): IntArray = inner.encode(text, addSpecialTokens = special).ids

    @JSExport
    fun encode(text: String, special: Boolean): Tokens = Tokens(text, inner.encode(text, addSpecialTokens = special))
}

/** Ids, tokens, and where they stand in the text, in code points as Python counts. */
class Tokens internal constructor(private val text: String, private val encoding: Encoding) {
    @get:JSExport
    @get:JSProperty
    val ids: IntArray get() = encoding.ids

    @get:JSExport
    @get:JSProperty
    val tokens: Array<String> get() = encoding.tokens.toTypedArray()

    @get:JSExport
    @get:JSProperty
    val starts: IntArray get() = codePointOffsets(text, encoding.starts)

    @get:JSExport
    @get:JSProperty
    val ends: IntArray get() = codePointOffsets(text, encoding.ends)
}
