package kzoo.desktop

import java.io.ByteArrayOutputStream
import java.io.File
import java.io.PrintStream
import kotlin.math.abs
import kzoo.core.json.Json
import kzoo.core.search.DocumentIndex
import kzoo.core.search.Reranker
import kzoo.core.task.Task
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.io.TempDir

/** Indexes of documents are searched as Python's `Index` does; they and their bundles are those of tools/make_small.py. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class SearchTest {
    private val small = File(System.getProperty("small"))
    private val open = HashMap<String, Task>()

    init {
        assumeTrue(File(small, "indexes.json").isFile, "$small has no indexes: python android_demo/tools/make_small.py makes them")
    }

    @AfterAll
    fun close() = open.values.forEach { it.close() }

    private fun task(name: String) = open.getOrPut(name) { openTask(File(small, name)) }

    private fun index(folder: File, vararg stages: String) = DocumentIndex.open(folder, stages.map(::task))

    @Test
    fun `in one stage, in two and reranked Python's documents are found`() {
        val written = Json.parse(File(small, "indexes.json").readText()) as List<*>
        assertEquals(setOf("index", "index_near", "index_late"), written.map { (it as Map<*, *>)["index"] }.toSet())
        for (row in written) {
            val asked = row as Map<*, *>
            val place = asked.minus("found").toString().take(120)
            val index = index(File(small, asked["index"].toString()), *(asked["stages"] as List<*>).map { it.toString() }.toTypedArray())
            val reranker = asked["reranker"]?.let { Reranker(task(it.toString())) }
            val found = index.search(asked["query"].toString(), 5, (asked["candidates"] as Long?)?.toInt(), reranker)
            val expected = (asked["found"] as List<*>).map { it as Map<*, *> }
            assertEquals(expected.map { it["index"] }, found.map { it.place.toLong() }, place)
            assertEquals(expected.map { it["text"] }, found.map { it.text }, place)
            assertEquals(expected.map { it["id"] }, found.map { index.documents[it.place].id }, place)
            for ((there, here) in expected.zip(found)) {
                val score = (there["score"] as Number).toDouble()
                assertTrue(abs(score - here.similarity) < 1e-4, "$place: ${here.similarity}, not $score")
            }
        }
    }

    @Test
    fun `the command finds the same`() {
        val out = ByteArrayOutputStream()
        val usual = System.out
        System.setOut(PrintStream(out, true))
        try {
            val bundles = listOf("--model", File(small, "embedder").path, "--second", File(small, "tokens").path)
            assertEquals(0, search(listOf(File(small, "index").path, "Who met Tim Cook?", "Where?", "--top", "2", "--candidates", "0") + bundles))
        } finally {
            System.setOut(usual)
        }
        val lines = out.toString("UTF-8").trimEnd('\n').split('\n').map { Json.parse(it) as Map<*, *> }
        assertEquals(listOf("Who met Tim Cook?", "Where?"), lines.map { it["query"] })
        val alone = index(File(small, "index_late"), "tokens").search("Who met Tim Cook?", 2)
        val found = (lines[0]["found"] as List<*>).map { it as Map<*, *> }
        assertEquals(alone.map { it.text }, found.map { it["text"] })
        assertEquals(listOf("index", "score", "text", "id"), found[0].keys.toList())
    }

    @Test
    fun `other models and damaged files are one sentence`(@TempDir folder: File) {
        val near = File(small, "index_near")
        assertSentence("made by another model", "than ${File(small, "tokens")}") { index(near, "tokens") }
        assertSentence("bundle of a TextClassifier", "to search by") { index(near, "reranker") }
        assertSentence("bundle of a TextEmbedder", "to rank by") { Reranker(task("embedder")) }
        assertSentence("holds no index.json") { index(folder, "embedder") }
        assertSentence("is no whole index") { index(near, "embedder", "tokens") }
        fun damaged(from: String, stage: String, words: String, change: (File) -> Unit) {
            val copy = File(folder, System.nanoTime().toString())
            File(small, from).copyRecursively(copy)
            change(copy)
            assertSentence(words) { index(copy, stage) }
        }
        fun bytes(copy: File, name: String, change: (ByteArray) -> ByteArray) = File(copy, name).let { it.writeBytes(change(it.readBytes())) }
        damaged("index_near", "embedder", "holds no numbers") { copy -> bytes(copy, "stage_0.codes.npy") { it.copyOf(it.size - 1) } }
        damaged("index_near", "embedder", "is missing") { File(it, "stage_0.scales.npy").delete() }
        damaged("index_near", "embedder", "NaN or infinite") { copy ->
            bytes(copy, "stage_0.scales.npy") { it.apply { fill(-1, size - 4, size) } }
        }
        damaged("index_near", "embedder", "other numbers or sizes") { copy ->
            File(small, "index_late/stage_0.codes.npy").copyTo(File(copy, "stage_0.codes.npy"), overwrite = true)
        }
        damaged("index_late", "tokens", "other numbers or sizes") { copy ->
            bytes(copy, "stage_0.starts.npy") { it.apply { this[size - 1] = 1 } }
        }
        damaged("index_near", "embedder", "is no whole index") { copy -> bytes(copy, "texts.jsonl") { it.copyOf(it.size / 2) } }
        damaged("index_near", "embedder", "has format 2") { copy ->
            File(copy, "index.json").let { it.writeText(it.readText().replace("\"format\": 1", "\"format\": 2")) }
        }
    }
}
