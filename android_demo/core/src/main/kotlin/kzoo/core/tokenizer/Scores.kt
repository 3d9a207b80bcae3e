package kzoo.core.tokenizer

/**
 * Numbers as the library's JSON reader makes them: digits as a whole number, divided by a power of
 * ten, which can be one bit off the nearest. Paths that tie would otherwise differ.
 */
internal class Scores(expected: Int) {
    private var values = DoubleArray(expected)
    private var size = 0
    private val powers = DoubleArray(LAST_POWER + 1) // 0 until one is needed.

    fun add(chars: CharArray, length: Int) {
        if (size == values.size) values = values.copyOf(size * 2)
        values[size++] = score(chars, length)
    }

    fun toArray(): DoubleArray = values.copyOf(size)

    private fun score(chars: CharArray, length: Int): Double {
        var at = 0
        val isNegative = chars[0] == '-'
        if (isNegative) at++
        var digits = 0L // Unsigned.
        var exponent = 0
        var isFraction = false
        var isFull = false
        while (at < length && chars[at] != 'e' && chars[at] != 'E') {
            val char = chars[at++]
            if (char == '.') {
                isFraction = true
                continue
            }
            val digit = char - '0'
            isFull = isFull || digits < 0 || digits > LAST_DIGITS || digits == LAST_DIGITS && digit > 5
            if (isFull) {
                if (!isFraction) exponent++
            } else {
                digits = digits * 10 + digit
                if (isFraction) exponent--
            }
        }
        if (at < length) exponent += String(chars, at + 1, length - at - 1).toIntOrNull() ?: 0
        var value = digits.toULong().toDouble()
        while (exponent < -LAST_POWER && value != 0.0) {
            value /= power(LAST_POWER)
            exponent += LAST_POWER
        }
        value = if (exponent >= 0) value * power(minOf(exponent, LAST_POWER)) else value / power(minOf(-exponent, LAST_POWER))
        return if (isNegative) -value else value
    }

    private fun power(exponent: Int): Double {
        if (powers[exponent] == 0.0) powers[exponent] = "1e$exponent".toDouble()
        return powers[exponent]
    }

    private companion object {
        const val LAST_POWER = 308
        const val LAST_DIGITS = Long.MAX_VALUE / 5 // Of which ten times are the most that 64 bits hold.
    }
}
