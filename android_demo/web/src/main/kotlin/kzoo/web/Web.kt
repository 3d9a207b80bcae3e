@file:JvmName("Web")

package kzoo.web

import java.io.ByteArrayInputStream
import kzoo.core.KzooException
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
 * What a bundle of a task answers; `labels` may be null, `length` is 0 where the model takes any.
 * `options` is the JSON of the manifest's `task_options`; null for a bundle of format 1.
 */
@JSExport
fun reader(tokenizer: WebTokenizer, task: String, labels: Array<String>?, maxLength: Int, length: Int, options: String?): Reader {
    val read = TaskOptions.read(task, options?.let { Json.parse(it) as? Map<*, *> ?: emptyMap<String, Any?>() }, "kzoo.json")
    return Reader(task, labels?.asList(), read, RowMaker(tokenizer.inner, maxLength, length.takeIf { it > 0 }, read.stride))
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
