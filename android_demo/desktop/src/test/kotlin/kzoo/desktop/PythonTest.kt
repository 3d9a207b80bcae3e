package kzoo.desktop

import java.io.File
import kotlin.math.abs
import kzoo.core.json.Json
import kzoo.core.task.ArrayTask
import kzoo.core.task.BundleCheck
import kzoo.core.task.Task
import kzoo.core.task.TextTask
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.TestFactory

/** Every task answers as `kzoo predict --json` does; the bundles are those of tools/make_small.py. */
class PythonTest {
    private val folder = File(System.getProperty("small"))

    @TestFactory
    fun `answers are Python's`(): List<DynamicTest> {
        assumeTrue(folder.isDirectory, "$folder is not there: python android_demo/tools/make_small.py makes it")
        val written = folder.listFiles { file -> file.name.endsWith(".jsonl") }!!.sorted()
        assertTrue(written.size >= 12)
        return written.map { file -> dynamicTest(file.name) { compare(file) } }
    }

    private fun compare(written: File) = openTask(File(folder, written.name.removeSuffix(".jsonl"))).use { task ->
        for (line in written.readLines()) {
            val expected = Json.parse(line) as Map<*, *>
            // Through JSON, as the command prints it.
            same(expected, Json.parse(Json.write(answer(task, expected))), "${written.name} ${expected.values.first()}", nearness(expected))
        }
        BundleCheck.run(task).forEach { assertTrue(it.passed, "${it.golden.title}: ${it.reason}") }
    }

    private fun answer(task: Task, expected: Map<*, *>): Map<String, Any?> = when (task) {
        is TextTask -> {
            val texts = expected["text"].let { if (it is List<*>) it.map(Any?::toString) else listOf(it.toString()) }
            task.json(texts[0], texts.getOrNull(1))
        }
        is ArrayTask -> {
            val name = (expected["image"] ?: expected["sound"]).toString()
            task.json(File(folder, name).readBytes(), name)
        }
    }

    /** Python resamples by soxr, whose filter the core's was fitted to. */
    private fun nearness(expected: Map<*, *>) = if ("sound" in expected) 1e-3 else 1e-4

    private fun same(expected: Any?, found: Any?, place: String, near: Double) {
        when (expected) {
            is Map<*, *> -> {
                assertEquals(expected.keys, (found as Map<*, *>).keys, place)
                for ((key, value) in expected) same(value, found[key], "$place/$key", near)
            }
            is List<*> -> {
                assertEquals(expected.size, (found as List<*>).size, place)
                expected.forEachIndexed { n, value -> same(value, found[n], "$place/$n", near) }
            }
            is Double -> assertTrue(abs(expected - (found as Number).toDouble()) < near, "$place: $found, not $expected")
            else -> assertEquals(expected, found, place)
        }
    }
}
