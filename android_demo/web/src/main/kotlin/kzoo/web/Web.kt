@file:JvmName("Web")

package kzoo.web

import java.io.ByteArrayInputStream
import kzoo.core.KzooException
import kzoo.core.bundle.Manifest
import kzoo.core.bundle.Sense
import kzoo.core.bundle.TaskOptions
import kzoo.core.json.Json
import kzoo.core.task.RowMaker
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

/** By which of the core's rules a bundle answers: "labels", "embedding", "entities", "span" or "continuation". */
@JSExport
fun kind(declared: String): String {
    val fields = Json.parse(declared) as? Map<*, *> ?: emptyMap<String, Any?>()
    val options = TaskOptions.read(fields, "kzoo.json")
    return options.answers?.takeIf { options.reads.sense == Sense.TEXT }?.name?.lowercase() ?: throw KzooException(
        "The bundle holds a ${fields["task"]}; this page reads texts, and answers with labels, vectors, entities, spans and text: take the page that reads it.",
    )
}

/**
 * What writes, with the functions of a model; `manifest` is a checked kzoo.json, `special` the text of
 * special_tokens_map.json or null.
 */
@JSExport
fun writer(tokenizer: WebTokenizer, functions: Array<WebFunction>, manifest: String, special: String?): WebWriter =
    WebWriter(tokenizer, functions, Manifest.of(Json.parse(manifest) as Map<*, *>, "kzoo.json"), special)

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
