package kzoo.core.tokenizer

/** Turns tokens back into text: the "decoder" of a tokenizer.json. */
internal fun interface Decoder {
    fun decode(tokens: List<String>): List<String>
}

internal class DecoderSequence(private val steps: List<Decoder>) : Decoder {
    override fun decode(tokens: List<String>) = steps.fold(tokens) { it, step -> step.decode(it) }
}

internal class WordPieceDecoder(private val prefix: String, private val cleansUp: Boolean) : Decoder {
    override fun decode(tokens: List<String>) = tokens.mapIndexed { i, token ->
        val text = if (i == 0) token else if (token.startsWith(prefix)) token.substring(prefix.length) else " $token"
        if (cleansUp) CLEAN_UP.fold(text) { it, (from, to) -> it.replace(from, to) } else text
    }
}

private val CLEAN_UP = listOf(
    " ." to ".", " ?" to "?", " !" to "!", " ," to ",", " ' " to "'", " n't" to "n't", " 'm" to "'m",
    " do not" to " don't", " 's" to "'s", " 've" to "'ve", " 're" to "'re",
)

/** Byte-level tokens are bytes; a token that isn't one of those stands for its own text. */
internal object ByteLevelDecoder : Decoder {
    override fun decode(tokens: List<String>): List<String> {
        val bytes = IntList()
        for (token in tokens) {
            val points = codePoints(token)
            if (points.all { ByteLevel.byte(it) >= 0 }) {
                for (point in points) bytes.add(ByteLevel.byte(point))
            } else {
                for (point in points) utf8Length(point).let { for (n in 0 until it) bytes.add(utf8Byte(point, it, n)) }
            }
        }
        return listOf(decodeUtf8(bytes).text)
    }
}

/** U+FFFD for each longest stretch that can't go on to a character (Unicode, chapter 3, table 3-8). */
internal fun decodeUtf8(bytes: IntList): Decoded {
    val out = StringBuilder()
    var isWellFormed = true
    var at = 0
    while (at < bytes.size) {
        val first = bytes[at++]
        val length = when (first) { in 0..0x7F -> 1; in 0xC2..0xDF -> 2; in 0xE0..0xEF -> 3; in 0xF0..0xF4 -> 4; else -> 0 }
        var point = if (length > 1) first and (0xFF shr length + 1) else first
        var missing = length - 1
        while (missing > 0 && at < bytes.size && follows(first, bytes[at], missing == length - 1)) {
            point = point shl 6 or (bytes[at++] and 0x3F)
            missing--
        }
        if (missing != 0) isWellFormed = false
        out.appendCodePoint(if (missing == 0) point else 0xFFFD)
    }
    return Decoded(out.toString(), isWellFormed)
}

internal class Decoded(val text: String, val isWellFormed: Boolean)

private fun follows(first: Int, byte: Int, isSecond: Boolean) = byte in when {
    !isSecond -> 0x80..0xBF
    first == 0xE0 -> 0xA0..0xBF
    first == 0xED -> 0x80..0x9F
    first == 0xF0 -> 0x90..0xBF
    first == 0xF4 -> 0x80..0x8F
    else -> 0x80..0xBF
}

internal class MetaspaceDecoder(private val replacement: String, private val dropsFirst: Boolean) : Decoder {
    override fun decode(tokens: List<String>) =
        tokens.mapIndexed { i, token -> token.replace(replacement, if (i == 0 && dropsFirst) "" else " ") }
}

/** `</w>` is a space, at the end nothing. */
internal class BpeDecoder(private val suffix: String) : Decoder {
    override fun decode(tokens: List<String>) =
        tokens.mapIndexed { i, token -> token.replace(suffix, if (i == tokens.size - 1) "" else " ") }
}

internal object Fuse : Decoder {
    override fun decode(tokens: List<String>) = listOf(tokens.joinToString(""))
}

internal class ReplaceDecoder(private val replace: Normalizer) : Decoder {
    override fun decode(tokens: List<String>) = tokens.map { replace.normalize(NormalizedText.of(it)).toString() }
}

internal class StripDecoder(private val content: Int, private val start: Int, private val stop: Int) : Decoder {
    override fun decode(tokens: List<String>) = tokens.map { token ->
        val points = codePoints(token)
        var from = 0
        var to = points.size
        while (from < minOf(start, points.size) && points[from] == content) from++
        while (to > from && points.size - to < stop && points[to - 1] == content) to--
        String(points, from, to - from)
    }
}

/** `<0xE2>` is a byte; bytes that are no UTF-8 become as many U+FFFD. */
internal object ByteFallback : Decoder {
    override fun decode(tokens: List<String>): List<String> {
        val out = ArrayList<String>()
        var bytes = IntList()
        fun flush() {
            if (bytes.size == 0) return
            val decoded = decodeUtf8(bytes)
            if (decoded.isWellFormed) out += decoded.text else repeat(bytes.size) { out += "\uFFFD" }
            bytes = IntList()
        }
        for (token in tokens) {
            val byte = if (token.length == 6 && token.startsWith("<0x") && token[5] == '>') token.substring(3, 5).toIntOrNull(16) else null
            if (byte == null || byte < 0) {
                flush()
                out += token
            } else {
                bytes.add(byte)
            }
        }
        flush()
        return out
    }
}
