package kzoo.desktop

import java.io.ByteArrayOutputStream
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import kzoo.core.KzooException
import kzoo.core.json.Json

/**
 * The texts of a stream, read as they are asked for, by the one rule that kzoo/lines.py writes down;
 * `name` is what they come from.
 */
internal fun lines(stream: InputStream, name: String = STANDARD_INPUT): Sequence<String> = sequence {
    val blank = ArrayList<String>()
    for (line in allLines(stream, name)) {
        blank.add(line)
        if (line.all { it in " \t\r" }) continue // None, where nothing else follows.
        yieldAll(blank)
        blank.clear()
    }
}

/** The two texts of a line; `name` says in an error which it is. */
internal fun pair(line: String, name: String): Pair<String, String> {
    val both = (if (line.startsWith("[")) twoStrings(line) else null) ?: line.split('\t')
    if (both.size != 2) {
        throw KzooException(
            "$name is ${shown(line)}, with ${if (both.size > 1) both.size - 1 else "no"} tabs; expected two texts with one tab between them, or a JSON array " +
                "of two strings.",
        )
    }
    if (both.any { !Charsets.UTF_8.newEncoder().canEncode(it) }) {
        throw KzooException(
            "$name is ${shown(line)}, with an unpaired surrogate; expected text that UTF-8 can write: take it out.",
        )
    }
    return both[0] to both[1]
}

/** The strings of a JSON array of two; null of anything else. */
private fun twoStrings(line: String): List<String>? {
    val value = try {
        Json.parse(line) as? List<*>
    } catch (error: KzooException) {
        return null
    }
    return value?.filterIsInstance<String>()?.takeIf { it.size == 2 && value.size == 2 }
}

private fun shown(line: String) = Json.write(line.take(60))

internal const val STANDARD_INPUT = "standard input"

private fun allLines(stream: InputStream, name: String): Sequence<String> = sequence {
    val buffer = ByteArray(1 shl 16)
    val line = ByteArrayOutputStream()
    var number = 0
    fun taken(): String {
        val text = try {
            Charsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(line.toByteArray())).toString()
        } catch (error: CharacterCodingException) {
            throw KzooException("Line ${number + 1} of $name is not UTF-8: convert it first.")
        }
        line.reset()
        return (if (number++ == 0) text.removePrefix("\uFEFF") else text).removeSuffix("\r")
    }
    while (true) {
        val count = stream.read(buffer)
        if (count < 0) break
        var from = 0
        for (at in 0 until count) {
            if (buffer[at] != '\n'.code.toByte()) continue
            line.write(buffer, from, at - from)
            from = at + 1
            yield(taken())
        }
        line.write(buffer, from, count - from)
    }
    if (line.size() > 0) yield(taken())
}
