package kzoo.core.json

import kzoo.core.KzooException
import java.io.Reader

private const val DEPTH = 200

/**
 * Reads a JSON text step by step, so that a file with 250,000 entries needs no tree of objects.
 *
 * Every error is a [KzooException] that says what came, what was expected, and where.
 */
class JsonReader(private val source: Reader, bufferSize: Int = 1 shl 14) {
    private val buffer = CharArray(bufferSize)
    private var position = 0
    private var limit = 0
    private var line = 1
    private var lineStart = 0L // How many characters stood before this line.
    private var passed = 0L // How many characters stood before the buffer.
    private val first = BooleanArray(DEPTH + 1) // Whether the object or list has had no entry yet.
    private var depth = 0

    /** The characters of the last string or number read, [length] of them. */
    var chars = CharArray(256)
        private set
    var length = 0
        private set

    /** The first character of what comes next, which tells its kind; it stays unread. */
    fun peek(): Char {
        while (true) {
            val char = look()
            if (char > ' '.code) return char.toChar()
            when (char) {
                -1 -> fail("the text ends too early")
                '\n'.code -> { position++; line++; lineStart = passed + position }
                ' '.code, '\t'.code, '\r'.code -> position++
                else -> fail("a control character stands between values")
            }
        }
    }

    fun enter(open: Char) {
        if (peek() != open) failExpecting(if (open == '{') "an object" else "a list")
        position++
        if (++depth > DEPTH) fail("more than $DEPTH levels are nested")
        first[depth] = true
    }

    /** Reads the name of the object's next member into [chars]; false after the last one. */
    fun nextMember(): Boolean {
        if (!next('}')) return false
        readString()
        if (peek() != ':') failExpecting("a colon after a name")
        position++
        return true
    }

    /** Whether the list has another element, which is then to be read. */
    fun nextElement(): Boolean = next(']')

    private fun next(close: Char): Boolean {
        var char = peek()
        if (char == close) {
            position++
            depth--
            return false
        }
        if (!first[depth]) {
            if (char != ',') failExpecting("a comma or $close")
            position++
            char = peek()
            if (char == close) failExpecting("another entry after the comma")
        }
        first[depth] = false
        return true
    }

    fun string(): String {
        readString()
        return String(chars, 0, length)
    }

    fun name(): String = String(chars, 0, length)

    /** Reads a string into [chars]. */
    fun readString() {
        if (peek() != '"') failExpecting("a string")
        position++
        length = 0
        while (true) {
            var at = position
            while (at < limit && buffer[at].let { it != '"' && it != '\\' && it.code >= ' '.code }) at++
            appendTo(at)
            when (val char = take()) {
                '"'.code -> return
                '\\'.code -> append(escaped())
                -1 -> fail("the text ends within a string")
                else -> if (char < ' '.code) fail("a control character stands in a string") else append(char)
            }
        }
    }

    private fun escaped(): Int = when (val char = take()) {
        'n'.code -> '\n'.code
        't'.code -> '\t'.code
        'r'.code -> '\r'.code
        'b'.code -> '\b'.code
        'f'.code -> '\u000C'.code
        'u'.code -> {
            var value = 0
            repeat(4) {
                val digit = when (val digit = take()) {
                    in '0'.code..'9'.code -> digit - '0'.code
                    in 'a'.code..'f'.code -> digit - 'a'.code + 10
                    in 'A'.code..'F'.code -> digit - 'A'.code + 10
                    else -> fail("four hexadecimal digits were expected after \\u")
                }
                value = value * 16 + digit
            }
            value
        }
        '"'.code, '\\'.code, '/'.code -> char
        else -> fail("a backslash stands before something that it can't escape")
    }

    /** Reads a number's characters into [chars]. */
    fun readNumber() {
        val first = peek()
        if (first != '-' && first !in '0'..'9') failExpecting("a number")
        length = 0
        do {
            var at = position
            while (at < limit && isOfNumber(buffer[at])) at++
            appendTo(at)
        } while (position == limit && fill())
    }

    private fun isOfNumber(char: Char) =
        char in '0'..'9' || char == '.' || char == '-' || char == '+' || char == 'e' || char == 'E'

    fun int(): Int {
        readNumber()
        val isNegative = chars[0] == '-'
        val start = if (isNegative) 1 else 0
        var value = if (length > start) 0L else TOO_LARGE
        for (i in start until length) {
            val digit = chars[i] - '0'
            value = if (digit in 0..9 && value < TOO_LARGE) value * 10 + digit else TOO_LARGE
        }
        if (isNegative) value = -value
        if (value !in Int.MIN_VALUE..Int.MAX_VALUE) fail("the number ${name()} is no whole number that fits")
        return value.toInt()
    }

    /** The value that comes next, whole: Map, List, String, Long, Double, Boolean or null. */
    fun value(): Any? = when (peek()) {
        '{' -> LinkedHashMap<String, Any?>().also {
            enter('{')
            while (nextMember()) {
                val name = name()
                it[name] = value()
            }
        }
        '[' -> ArrayList<Any?>().also {
            enter('[')
            while (nextElement()) it += value()
        }
        '"' -> string()
        't' -> word("true", true)
        'f' -> word("false", false)
        'n' -> word("null", null)
        else -> {
            readNumber()
            val text = name()
            if (!isNumber(text)) fail("$text is no number")
            text.toLongOrNull() ?: text.toDouble()
        }
    }

    /** Whether the grammar allows it; a regular expression takes longer to start than most files to be read. */
    private fun isNumber(text: String): Boolean {
        val start = if (text[0] == '-') 1 else 0
        var at = digitsEnd(text, start)
        if (at == start || text[start] == '0' && at > start + 1) return false
        if (text.startsWith('.', at)) {
            val fraction = at + 1
            at = digitsEnd(text, fraction)
            if (at == fraction) return false
        }
        if (text.startsWith('e', at) || text.startsWith('E', at)) {
            val exponent = if (text.startsWith('-', at + 1) || text.startsWith('+', at + 1)) at + 2 else at + 1
            at = digitsEnd(text, exponent)
            if (at == exponent) return false
        }
        return at == text.length
    }

    private fun String.startsWith(char: Char, at: Int) = at < length && this[at] == char

    private fun digitsEnd(text: String, from: Int): Int {
        var at = from
        while (at < text.length && text[at] in '0'..'9') at++
        return at
    }

    /** That nothing but white space is left. */
    fun end() {
        while (true) {
            when (look()) {
                -1 -> return
                '\n'.code -> { position++; line++; lineStart = passed + position }
                ' '.code, '\t'.code, '\r'.code -> position++
                else -> failExpecting("the end")
            }
        }
    }

    private fun <T> word(word: String, value: T): T {
        for (char in word) if (take() != char.code) fail("$word was expected")
        return value
    }

    private fun look(): Int {
        if (position == limit && !fill()) return -1
        return buffer[position].code
    }

    private fun take(): Int {
        if (position == limit && !fill()) return -1
        return buffer[position++].code
    }

    private fun fill(): Boolean {
        passed += limit
        position = 0
        limit = 0
        val count = source.read(buffer, 0, buffer.size)
        if (count > 0) limit = count
        return count > 0
    }

    /** Takes what stands before [end] in the buffer. */
    private fun appendTo(end: Int) {
        val count = end - position
        while (length + count > chars.size) chars = chars.copyOf(chars.size * 2)
        System.arraycopy(buffer, position, chars, length, count)
        length += count
        position = end
    }

    private fun append(char: Int) {
        if (length == chars.size) chars = chars.copyOf(length * 2)
        chars[length++] = char.toChar()
    }

    private fun failExpecting(expected: String): Nothing = fail("$expected was expected, '${peek()}' came")

    fun fail(what: String): Nothing =
        throw KzooException("This is not the JSON that was expected (line $line, column ${passed + position - lineStart + 1}): $what.")

    private companion object {
        const val TOO_LARGE = 1L shl 32
    }
}
