package kzoo.core.json

import java.io.Reader

/** JSON texts as plain values, both ways. */
object Json {
    /** Map (in the text's order), List, String, Long, Double, Boolean or null; or a KzooException. */
    fun parse(text: Reader): Any? = parse(JsonReader(text))

    /** As above; a short text costs little. */
    fun parse(text: String): Any? = parse(JsonReader(text.reader(), text.length.coerceIn(16, 1 shl 14)))

    private fun parse(reader: JsonReader): Any? = reader.value().also { reader.end() }

    fun write(value: Any?): String = StringBuilder().also { write(it, value) }.toString()

    fun write(out: StringBuilder, value: Any?) {
        when (value) {
            is Map<*, *> -> {
                out.append('{')
                var first = true
                for ((name, item) in value) {
                    if (!first) out.append(", ")
                    first = false
                    quote(out, name.toString())
                    out.append(": ")
                    write(out, item)
                }
                out.append('}')
            }
            is Iterable<*> -> {
                out.append('[')
                var first = true
                for (item in value) {
                    if (!first) out.append(", ")
                    first = false
                    write(out, item)
                }
                out.append(']')
            }
            is IntArray -> write(out, value.asList())
            is FloatArray -> write(out, value.asList())
            is String -> quote(out, value)
            is Double -> out.append(if (value.isNaN() || value.isInfinite()) "null" else value)
            is Float -> out.append(if (value.isNaN() || value.isInfinite()) "null" else value)
            else -> out.append(value)
        }
    }

    private fun quote(out: StringBuilder, text: String) {
        out.append('"')
        for ((place, char) in text.withIndex()) {
            when {
                char == '"' || char == '\\' -> out.append('\\').append(char)
                char == '\n' -> out.append("\\n")
                char == '\r' -> out.append("\\r")
                char == '\t' -> out.append("\\t")
                char == '\b' -> out.append("\\b")
                char == '\u000C' -> out.append("\\f")
                char < ' ' || char.isSurrogate() && !paired(text, place) ->
                    out.append("\\u").append(char.code.toString(16).padStart(4, '0'))
                else -> out.append(char)
            }
        }
        out.append('"')
    }

    private fun paired(text: String, place: Int) =
        if (text[place].isHighSurrogate()) place + 1 < text.length && text[place + 1].isLowSurrogate()
        else place > 0 && text[place - 1].isHighSurrogate()
}
