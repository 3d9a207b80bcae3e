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
            val start = position
            while (position < limit && buffer[position].let { it != '"' && it != '\\' && it >= ' ' }) position++
            append(start, position)
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
        if (peek() != '-' && peek() !in '0'..'9') failExpecting("a number")
        length = 0
        while (true) {
            val char = look()
            val isPart = char in '0'.code..'9'.code || char == '-'.code || char == '+'.code ||
                char == '.'.code || char == 'e'.code || char == 'E'.code
            if (!isPart) return
            append(char)
            position++
        }
    }

    fun int(): Int {
        readNumber()
        return name().toIntOrNull() ?: fail("the number ${name()} is no whole number that fits")
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
            if (!NUMBER.matches(text)) fail("$text is no number")
            text.toLongOrNull() ?: text.toDouble()
        }
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

    private fun append(from: Int, to: Int) {
        while (length + to - from > chars.size) chars = chars.copyOf(chars.size * 2)
        buffer.copyInto(chars, length, from, to)
        length += to - from
    }

    private fun append(char: Int) {
        if (length == chars.size) chars = chars.copyOf(length * 2)
        chars[length++] = char.toChar()
    }

    private fun failExpecting(expected: String): Nothing = fail("$expected was expected, '${peek()}' came")

    fun fail(what: String): Nothing =
        throw KzooException("This is not the JSON that was expected (line $line, column ${passed + position - lineStart + 1}): $what.")

    private companion object {
        val NUMBER = Regex("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][-+]?[0-9]+)?")
    }
}
