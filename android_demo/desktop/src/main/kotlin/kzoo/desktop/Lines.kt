package kzoo.desktop

import java.io.ByteArrayOutputStream
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import kzoo.core.KzooException

/**
 * Lines of UTF-8, read as they are asked for; `name` is what they come from.
 *
 * A line ends with a line feed, before which a carriage return may stand. One alone is a character
 * of its line, as it is to Python's clients.
 */
internal fun lines(stream: InputStream, name: String = "Standard input"): Sequence<String> = sequence {
    val buffer = ByteArray(1 shl 16)
    val line = ByteArrayOutputStream()
    var number = 0
    fun taken(): String {
        val text = try {
            Charsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(line.toByteArray())).toString()
        } catch (error: CharacterCodingException) {
            throw KzooException("$name is not UTF-8 (line ${number + 1}): convert it first.")
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
