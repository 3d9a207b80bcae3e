package kzoo.desktop

import java.io.File
import java.security.MessageDigest
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import kotlin.math.abs
import kzoo.core.bundle.BundleStore
import kzoo.core.bundle.TOGETHER
import kzoo.core.bundle.ZipFiles
import kzoo.core.json.Json
import kzoo.core.task.BundleCheck
import kzoo.core.task.Towers
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** Two towers find and label pictures as Python's `TowersPredictor` does; the bundle is that of tools/make_small.py. */
class TowersTest {
    private val small = File(System.getProperty("small"))
    private val folder = File(small, "towers")

    init {
        assumeTrue(folder.isDirectory, "$folder is not there: python android_demo/tools/make_small.py makes it")
    }

    private fun towers(from: File = folder) = open(from) as Towers

    private fun near(expected: Any?, found: Any?, place: String) =
        assertTrue(abs((expected as Number).toDouble() - (found as Number).toDouble()) < 1e-4, "$place: $found, not $expected")

    private fun strings(value: Any?) = (value as List<*>?)?.map { it.toString() }

    @Test
    fun `answers are Python's`() = towers().use { towers ->
        val written = Json.parse(File(small, "towers.json").readText()) as Map<*, *>
        val pictures = strings(written["pictures"])!!.map { towers.image.see(File(small, it).readBytes(), it) }
        for (search in written["searches"] as List<*>) {
            val (query, found) = (search as Map<*, *>)["query"].toString() to search["found"] as List<*>
            val hits = towers.search(query, pictures.asSequence(), (search["top"] as Long).toInt())
            assertEquals(found.map { (it as Map<*, *>)["image"] }, hits.map { it.text }, query)
            assertEquals(found.map { (it as Map<*, *>)["index"] }, hits.map { it.place.toLong() }, query)
            found.zip(hits) { there, here -> near((there as Map<*, *>)["score"], here.similarity, query) }
        }
        for (asked in written["asked"] as List<*>) {
            val answers = towers.classify(pictures.asSequence(), strings((asked as Map<*, *>)["labels"]), strings(asked["templates"])).toList()
            val expected = asked["answers"] as List<*>
            assertEquals(expected.size, answers.size)
            for ((there, here) in expected.zip(answers)) {
                there as Map<*, *>
                assertEquals(there["image"] to there["label"], here.first.name to here.second.label)
                val scores = here.second.json()["scores"] as Map<*, *>
                assertEquals((there["scores"] as Map<*, *>).keys.toList(), scores.keys.toList())
                for ((label, score) in there["scores"] as Map<*, *>) near(score, scores[label], "${there["image"]} $label")
            }
        }
        for (task in towers.tasks) BundleCheck.run(task).forEach { assertTrue(it.passed, "${it.golden.title}: ${it.reason}") }
    }

    @Test
    fun `what a tower would cut, and labels that are none, are refused`() = towers().use { towers ->
        val long = "dog ".repeat(99)
        assertSentence("Got the text \"dog dog", "longer than the 24 tokens that are read") { towers.search(long, emptySequence()) }
        assertSentence("longer than the 24 tokens") { towers.classify(emptySequence(), listOf("a", long)) }
        assertSentence("Got the labels a, b, a; expected each once") { towers.classify(emptySequence(), listOf("a", "b", "a")) }
        assertSentence("Got no labels for", "ZeroShotImageClassifier", "--label") { towers.classify(emptySequence(), emptyList()) }
        assertSentence("Got top=0") { towers.search("a", emptySequence(), 0) }
    }

    @Test
    fun `what was changed is noticed`(@TempDir scratch: File) {
        fun changed(name: String, change: (File) -> Unit) = File(scratch, name).also { folder.copyRecursively(it) }.also(change)
        fun together(change: (String) -> String) = { target: File -> File(target, TOGETHER).run { writeText(change(readText())) } }
        val said = Json.parse(File(folder, TOGETHER).readText()) as Map<*, *>
        for ((name, change, words) in listOf<Triple<String, (File) -> Unit, String>>(
            Triple("scale", together { it.replace(Regex("\"scale\": [0-9.]+"), "\"scale\": 1.5") }, "towers.json was changed after the export: its seal doesn't fit"),
            Triple("more", together { resealed(Json.parse(it) as Map<*, *> + ("more" to 1)) }, "its seal doesn't fit"),
            Triple("label", together { resealed(said + ("labels" to listOf(1))) }, "its seal doesn't fit"),
            Triple("negative", together { resealed(said + ("scale" to -1)) }, "its seal doesn't fit"),
            Triple("format", together { resealed(said + ("format" to 2)) }, "towers.json is of format 2; this program reads 1"),
            Triple("list", together { "[1]" }, "towers.json holds [1]; what holds two towers together, a JSON object, was expected there"),
            Triple("broken", together { "{" }, "towers.json is not JSON"),
            Triple("report", { File(it, "report.json").writeText("{}") }, "report.json was changed after the export: its SHA-256 is another"),
            Triple("other", { File(it, "more.txt").writeText("more") }, "other holds more.txt, which no export writes: take it out"),
            Triple("tower", {
                File(it, "text").deleteRecursively()
                File(it, "image").copyRecursively(File(it, "text")) // A whole bundle, but another one.
            }, "text/kzoo.json isn't the one that"),
            Triple("sealed", { RealBundle.reseal(File(it, "text")) { manifest -> manifest["kzoo"] = "another" } }, "text/kzoo.json isn't the one that"),
            Triple("swapped", {
                File(it, "image").renameTo(File(it, "other"))
                File(it, "text").renameTo(File(it, "image"))
                File(it, "other").renameTo(File(it, "text"))
                together { resealed(said + ("towers" to (said["towers"] as Map<*, *>).let { own -> mapOf("image" to own["text"], "text" to own["image"]) })) }(it)
            }, "image/kzoo.json isn't the one that"),
            Triple("missing", { File(it, "text").deleteRecursively() }, "text is no folder"),
            Triple("model", { File(it, "image/model.tflite").appendText(" ") }, "image/model.tflite was changed after the export"),
        )) {
            assertSentence(words) { open(changed(name, change)).close() }
        }
        assertSentence("holds two towers", "name one of the folders") { openTask(folder) }
        openTask(File(folder, "image")).close()
    }

    @Test
    fun `a zip is read where its files lie right, and kept whole`(@TempDir scratch: File) {
        fun zip(name: String, prefix: String, more: Map<String, String> = emptyMap()) = File(scratch, name).also { target ->
            ZipOutputStream(target.outputStream()).use { zip ->
                val files = folder.walk().filter { it.isFile }.associate { "$prefix${it.relativeTo(folder).invariantSeparatorsPath}" to it.readBytes() }
                for ((path, bytes) in files + more.mapValues { it.value.toByteArray() }) {
                    zip.putNextEntry(ZipEntry(path))
                    zip.write(bytes)
                }
            }
        }
        val store = BundleStore(File(scratch, "kept"))
        for (prefix in listOf("", "two/")) {
            val kept = store.add(ZipFiles(zip("right.zip", prefix, mapOf("__MACOSX/${prefix}image/._kzoo.json" to ""))), "mine", DesktopEngine.RUNTIME)
            assertEquals(setOf("image", "text", "towers.json", "report.json"), kept.list()!!.toSet())
            towers(kept).use { assertEquals(24, it.read("a blue present").vector.size) }
        }
        for ((path, words) in mapOf(
            "image/more/x" to "holds image/more/x outside of the bundle", "image/../x" to "outside of the bundle", "other/x" to "outside of the bundle",
            "image/x" to "image/x is not one of the bundle's files", "more.txt" to "holds more.txt, which no export writes",
        )) {
            assertSentence(words) { open(zip("wrong.zip", "", mapOf(path to "x"))).close() }
        }
        assertEquals(2, store.list().size)
    }

    private fun resealed(fields: Map<*, *>): String {
        val zeros = "0".repeat(64)
        val text = Json.write(fields - "seal" + ("seal" to zeros))
        val seal = MessageDigest.getInstance("SHA-256").digest(text.toByteArray()).joinToString("") { "%02x".format(it) }
        return text.replace(zeros, seal)
    }
}
