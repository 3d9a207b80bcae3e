package kzoo.desktop

import java.io.File
import kzoo.core.json.Json
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.TestFactory

/** Odd lines, by the cases that every client's tests read. */
class LinesTest {
    @TestFactory
    fun `odd lines are read by one rule`(): List<DynamicTest> {
        val cases = Json.parse(File(System.getProperty("root"), "../tests/golden/lines.json").readText()) as List<*>
        return cases.map { it as Map<*, *> }.map { case -> dynamicTest(case["about"].toString()) { check(case) } }
    }

    private fun check(case: Map<*, *>) {
        val times = (case["times"] as Long? ?: 1L).toInt()
        val hex = case["hex"] as String?
        val bytes = hex?.chunked(2)?.map { it.toInt(16).toByte() }?.toByteArray() ?: (case["text"] as String).repeat(times).toByteArray()
        fun read() = lines(bytes.inputStream()).toList().mapIndexed { place, line ->
            if (case["pairs"] == true) pair(line, "Line ${place + 1} of standard input").toList() else line
        }
        if ("lines" in case) assertEquals(case["lines"], read())
        else assertSentence("Line ${case["error_in_line"]} of standard input") { read() }
    }
}
