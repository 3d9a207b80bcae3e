package kzoo.core.json

import kzoo.core.KzooException
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

class JsonTest {
    @Test
    fun `values are read as they stand`() {
        val text = """ {"a": [1, -2.5, 1e3, true, false, null, {}], "ä\n\u00e9\ud83d\ude00": "\"\\\/", "b": [[]]} """
        val value = Json.parse(text)
        assertEquals(
            mapOf("a" to listOf(1L, -2.5, 1000.0, true, false, null, mapOf<String, Any>()), "ä\né😀" to "\"\\/", "b" to listOf(listOf<Any>())),
            value,
        )
        assertEquals(value, Json.parse(Json.write(value)))
    }

    @Test
    fun `an unpaired surrogate survives both ways`() {
        assertEquals("a\uD800b", Json.parse("\"a\\ud800b\""))
        assertEquals("\"a\\ud800b😀\"", Json.write("a\uD800b😀"))
    }

    @Test
    fun `what is wrong is said with its place`() {
        val cases = mapOf(
            "" to "line 1, column 1", "{\n \"a\" 1}" to "line 2, column 6", "[1,]" to "line 1, column 4",
            "[1 2]" to "comma", "{\"a\": tru}" to "true", "\"a\nb\"" to "control character", "[1e]" to "1e",
            "[01]" to "01", "[-]" to "-", "\"\\x\"" to "backslash", "\"\\u12g4\"" to "hexadecimal", "[1] 2" to "the end",
            "\"abc" to "string", "{\"a\": 1" to "early", "[\"a\"" to "early",
        )
        for ((text, expected) in cases) {
            val message = assertThrows<KzooException>(text) { Json.parse(text) }.message!!
            assertTrue(expected in message, "$text: $message")
        }
    }
}
