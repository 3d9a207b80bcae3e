package kzoo.core.bundle

import java.io.File
import java.io.InputStream
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir

class BundleTest {
    @TempDir
    lateinit var folder: File

    private fun open(folder: File, runtime: Runtime? = null) = Bundle.open(FolderFiles(folder), runtime)

    @Test
    fun `reads what was written`() {
        open(TestBundle.write(folder), Runtime("tflite", "2.18.0")).use { bundle ->
            val manifest = bundle.manifest
            assertEquals("TextClassifier", manifest.task)
            assertEquals(listOf("bad", "good"), manifest.labels)
            assertEquals(setOf("token_ids", "padding_mask"), manifest.functions.getValue("serve").inputs.keys)
            assertArrayEquals(intArrayOf(1, 2), manifest.functions.getValue("serve").outputs["logits"])
            assertEquals(null, manifest.length)
            assertEquals("film", (manifest.golden[1] as TextGolden).pair)
            assertArrayEquals(doubleArrayOf(0.5, -1.0), manifest.golden[0].outputs["logits"])
            assertArrayEquals(intArrayOf(2, 5, 6, 7, 3), bundle.tokenizer.encode("good films").ids)
            val model = bundle.model()
            assertTrue(model.isDirect)
            assertEquals(File(folder, MODEL).length(), model.capacity().toLong())
        }
    }

    @Test
    fun `no bundle is a sentence`() {
        assertSentence("is no folder") { open(File(folder, "none")) }
        assertSentence("holds no kzoo.json") { open(folder) }
        File(folder, MANIFEST).writeText("")
        assertSentence("is no JSON") { open(folder) }
        File(folder, MANIFEST).writeText("{}")
        assertSentence("names no format") { open(folder) }
        File(folder, MANIFEST).writeText("[1]")
        assertSentence("names no format") { open(folder) }
        File(folder, MANIFEST).writeBytes(byteArrayOf(-1, -2, 0))
        assertSentence("is no UTF-8") { open(folder) }
        File(folder, MANIFEST).writeText("[".repeat(100_000))
        assertSentence("is no JSON") { open(folder) }
        for (format in listOf(4, 0, 1.0, "2")) {
            TestBundle.write(folder) { it["format"] = format }
            assertSentence("of format $format", "reads formats 1 to 3") { open(folder) }
        }
        TestBundle.write(folder) { it.remove("task_options") }
        assertSentence("of format 2, which has task_options") { open(folder) }
    }

    @Test
    fun `a missing file and a changed byte of any file are found`() {
        TestBundle.write(folder)
        for (file in folder.listFiles()!!) {
            val bytes = file.readBytes()
            file.delete()
            assertSentence(file.name) { open(folder) }
            file.writeBytes(bytes + 32)
            assertSentence(file.name) { open(folder) }
            for (place in listOf(0, bytes.size / 2, bytes.size - 1)) {
                file.writeBytes(bytes.clone().also { it[place] = (it[place] + 1).toByte() })
                assertSentence(file.name) { open(folder) }
            }
            file.writeBytes(bytes.copyOf(bytes.size / 2))
            assertSentence(file.name) { open(folder) }
            file.writeBytes(bytes)
        }
        open(folder).close()
    }

    @Test
    fun `a sealed manifest of the wrong kind is a sentence`() {
        val changes: List<Pair<String, Any?>> = listOf(
            "task" to null, "labels" to listOf(1), "labels" to emptyList<String>(), "max_length" to 0, "max_length" to "8", "length" to -1,
            "signature" to emptyMap<String, Any>(), "files" to listOf(1), "files" to mapOf("../x" to mapOf("bytes" to 1, "sha256" to "")),
            "task_options" to 7, "task_options" to mapOf("reads" to "both"), "task_options" to mapOf("reads" to "TEXT"), "task_options" to mapOf("problem" to 1),
            "task_options" to mapOf("threshold" to 2), "task_options" to mapOf("stride" to 0.5), "task_options" to mapOf("no_answer" to "never"),
            "task_options" to mapOf("default_prompt" to "query"), "task_options" to mapOf("similarity" to "near"), "task_options" to mapOf("temperature" to 2),
            "files" to mapOf("x" to mapOf("bytes" to -1, "sha256" to "")), "files" to mapOf("x" to mapOf("bytes" to (1L shl 31), "sha256" to "")), "golden" to 7, "golden" to listOf(mapOf("text" to 3)), "tolerance" to null, "tolerance" to java.math.BigDecimal("1e999"), "minimum_runtime" to 2,
        )
        for ((field, value) in changes) {
            TestBundle.write(folder) { it[field] = value }
            assertSentence(field, "of a kind that nobody reads") { open(folder) }
        }
    }

    @Test
    fun `format 1 reads and answers as its tasks did, format 2 as it says`() {
        fun options(task: String, options: Map<String, Any?>?): TaskOptions {
            TestBundle.write(folder) {
                it["task"] = task
                if (options == null) { it["format"] = 1; it.remove("task_options") } else it["task_options"] = options
            }
            return Bundle.manifest(FolderFiles(folder)).options
        }
        val kinds = mapOf("QuestionAnswering" to Reads.PAIR, "TokenClassifier" to Reads.TEXT, "TextClassifier" to Reads.EITHER, "TextEmbedder" to Reads.TEXT)
        for ((task, reads) in kinds) with(options(task, null)) {
            assertEquals(reads, this.reads)
            assertEquals(listOf(Problem.SINGLE_LABEL, null, null, "", Similarity.COSINE), listOf(problem, stride, noAnswer, prompt, similarity))
        }
        with(options("TextClassifier", mapOf("reads" to "pair", "problem" to "multi_label", "threshold" to 0.25))) {
            assertEquals(listOf(Reads.PAIR, Problem.MULTI_LABEL, 0.25), listOf(reads, problem, threshold))
            assertSentence("reads a pair of texts", "got one text") { check("it", isPair = false) }
            check("it", isPair = true)
        }
        with(options("TextEmbedder", mapOf("reads" to "text", "prompts" to mapOf("query" to "q: "), "default_prompt" to "query", "similarity" to "dot"))) {
            assertEquals(listOf("q: ", Similarity.DOT), listOf(prompt, similarity))
            assertSentence("reads one text at a time", "got a pair") { check("it", isPair = true) }
        }
        with(options("QuestionAnswering", mapOf("reads" to "pair", "stride" to 32, "no_answer" to -1.5))) {
            assertEquals(listOf(32, -1.5), listOf(stride, noAnswer))
        }
        assertEquals("", options("TextEmbedder", mapOf("prompts" to mapOf("query" to "q: "), "default_prompt" to null)).prompt)
    }

    @Test
    fun `format 3 says by which rule it answers, whatever its task is called`() {
        fun options(rule: String?, reads: String): TaskOptions {
            TestBundle.write(folder) {
                it.putAll(mapOf("format" to 3, "task" to "Urgency", "rule" to rule, "reads" to reads, "signatures" to emptyMap<String, Any>()))
            }
            return Bundle.manifest(FolderFiles(folder)).options
        }
        assertEquals(Answers.LABELS to Reads.TEXT, options("single_label", "text").let { it.answers to it.reads })
        assertEquals(Answers.SPAN to Reads.PAIR, options("span", "pair").let { it.answers to it.reads })
        assertEquals(null to Reads.PROMPT, options("text", "prompt").let { it.answers to it.reads })
        assertEquals(null, options(null, "either").answers)
        assertSentence("task_options of a kind that nobody reads", "reads is both") { options("span", "both") }
        for (field in listOf("rule", "reads", "signatures")) {
            TestBundle.write(folder) {
                it.putAll(mapOf("format" to 3, "rule" to "span", "reads" to "pair", "signatures" to emptyMap<String, Any>()) - field)
            }
            assertSentence("of format 3, which has $field") { open(folder) }
        }
    }

    @Test
    fun `labels that are not the manifest's are found`() {
        TestBundle.write(folder) { it["labels"] = listOf("bad", "good", "fair") }
        assertSentence("labels.txt holds 2 labels", "3 of kzoo.json") { open(folder) }
    }

    @Test
    fun `two labels of one name are refused`() {
        TestBundle.write(folder) { it["labels"] = listOf("good", "bad", "good") }
        assertSentence("the label good 2 times") { open(folder) }
    }

    @Test
    fun `an older runtime is refused`() {
        TestBundle.write(folder)
        assertSentence("needs TensorFlow Lite 2.18.0 or newer", "TensorFlow Lite 2.16.1") { open(folder, Runtime("tflite", "2.16.1")) }
        assertSentence("--compat tflite-2.16`, or take") { open(folder, Runtime("tflite", "2.17.0")) }
        assertSentence("--compat tflite-2.14`, or take") { open(folder, Runtime("tflite", "2.15.0")) }
        assertSentence("TensorFlow Lite 2.13.0: take a newer runtime") { open(folder, Runtime("tflite", "2.13.0")) }
        assertSentence("needs LiteRT 1.0.1") { open(folder, Runtime("litert", "1.0")) }
        for (version in listOf("2.18.0", "2.18", "2.20.0-rc1", "3.0", "unknown")) open(folder, Runtime("tflite", version)).close()
        assertTrue(Runtime("litert", "1.4.2").reaches("1.0.1"))
        assertFalse(Runtime("tflite", "2.9").reaches("2.10"))
    }

    @Test
    fun `a zip holds a bundle at its top or in one folder`() {
        val source = TestBundle.write(File(folder, "source"))
        val zip = File(folder, "bundle.zip")
        for (prefix in listOf("", "sentiment/", "a b/")) {
            val ofFinder = listOf("__MACOSX/$prefix._kzoo.json", "$prefix.DS_Store", "$prefix._model.tflite", "._sentiment", "__MACOSX/._x")
                .associateWith { byteArrayOf(1) }
            TestBundle.zip(zip, ofFinder + TestBundle.members(source, prefix))
            Bundle.open(ZipFiles(zip)).use { bundle ->
                assertEquals(8, bundle.manifest.maxLength)
                assertEquals(70_000, bundle.model().capacity())
                assertEquals("[CLS]", bundle.tokenizer.encode("a").tokens[0])
            }
        }
    }

    @Test
    fun `what macOS leaves in a folder is no part of the bundle`() {
        TestBundle.write(folder)
        for (name in listOf(".DS_Store", "._model.tflite")) File(folder, name).writeText("x")
        File(folder, "__MACOSX").mkdir()
        open(folder).close()
        File(folder, "__MACOSX").delete()
        File(folder, ".hidden").writeText("x")
        assertSentence(".hidden is not one of") { open(folder) }
    }

    @Test
    fun `a zip that reaches outside is refused`() {
        val source = TestBundle.write(File(folder, "source"))
        val zip = File(folder, "bundle.zip")
        val members = TestBundle.members(source, "b/")
        for (name in listOf("../evil", "/evil", "b/../evil", "b/..\\evil", "b/inner/evil", "other/evil", "b/..", "c", "C:/evil", "b/C:evil")) {
            TestBundle.zip(zip, members + (name to byteArrayOf(1)))
            assertSentence("outside of the bundle") { ZipFiles(zip) }
        }
        for (prefix in listOf("../", "/", "C:/", "c:x/", "\\", "a\\b/", "..\\/")) {
            TestBundle.zip(zip, TestBundle.members(source, prefix))
            if (prefix == "\\") assertSentence("holds no kzoo.json") { ZipFiles(zip) }
            else assertSentence("outside of the bundle") { ZipFiles(zip) }
        }
        TestBundle.zip(zip, mapOf("readme" to byteArrayOf(1)))
        assertSentence("holds no kzoo.json") { ZipFiles(zip) }
        zip.writeText("PK no zip")
        assertSentence("is no zip") { ZipFiles(zip) }
        zip.writeBytes(ByteArray(0))
        assertSentence("is no zip") { ZipFiles(zip) }
        assertSentence("can't be read") { ZipFiles(File(folder, "none.zip")) }
    }

    @Test
    fun `a zip that unpacks to more than it says is not unpacked`() {
        val source = TestBundle.write(File(folder, "source"))
        val zip = File(folder, "bundle.zip")
        TestBundle.zip(zip, TestBundle.members(source, "") + (MODEL to ByteArray(50_000_000)))
        assertSentence("more than 70000 bytes") { Bundle.open(ZipFiles(zip)) }
    }

    @Test
    fun `a file is read no further than it may be long`() {
        TestBundle.write(folder)
        val most = 70_000 + 2 * 65_536
        val endless = object : BundleFiles by FolderFiles(folder) {
            override fun open(file: String): InputStream =
                if (file == MODEL) Endless(most) else File(folder, file).inputStream()
        }
        assertSentence("more than 70000 bytes") { Bundle.open(endless) }
    }

    /** Fails where more than [most] bytes are asked of it. */
    private class Endless(private val most: Int) : InputStream() {
        private var given = 0

        override fun read() = if (given++ < most) 0 else throw AssertionError("$most bytes were read, and still more")

        override fun read(bytes: ByteArray, from: Int, count: Int): Int {
            read()
            given += count - 1
            return count
        }
    }

    @Test
    fun `files that together are larger than any model are refused unread`() {
        TestBundle.write(folder) { manifest ->
            val files = manifest["files"] as Map<*, *>
            manifest["files"] = files + listOf("a", "b").associateWith { mapOf("bytes" to (1L shl 30), "sha256" to "") }
        }
        assertSentence("kzoo.json speaks of 21475", "2147483647 at most") { open(folder) }
    }

    @Test
    fun `a file that the manifest doesn't list is refused`() {
        val source = TestBundle.write(File(folder, "source"))
        val zip = TestBundle.zip(File(folder, "bundle.zip"), TestBundle.members(source, "") + ("extra.bin" to byteArrayOf(1)))
        assertSentence("extra.bin is not one of the bundle's files") { Bundle.open(ZipFiles(zip)) }
        val kept = File(folder, "kept")
        assertSentence("extra.bin is not one of") { BundleStore(kept).add(ZipFiles(zip), "b", null) }
        assertEquals(emptyList<File>(), BundleStore(kept).list())
    }

    @Test
    fun `the store copies no more than was checked`() {
        val source = TestBundle.write(File(folder, "source"))
        var opened = 0
        val grows = object : BundleFiles by FolderFiles(source) { // Endless from its second opening on.
            override fun open(file: String): InputStream =
                if (file == MODEL && opened++ > 0) Endless(70_000 + 2 * 65_536) else File(source, file).inputStream()
        }
        val kept = File(folder, "kept")
        assertSentence("model.tflite was changed") { BundleStore(kept).add(grows, "b", null) }
        assertEquals(emptyList<String>(), kept.list()!!.toList())
    }

    @Test
    fun `the store keeps a whole bundle or nothing`() {
        val source = TestBundle.write(File(folder, "source"))
        val kept = File(folder, "kept")
        val store = BundleStore(kept)
        assertEquals(emptyList<File>(), store.list())
        val first = store.add(FolderFiles(source), "my bundle.zip", null)
        val second = store.add(FolderFiles(source), "my bundle.zip", null)
        assertEquals(listOf("my bundle", "my bundle 2"), store.list().map { it.name })
        open(first).close()
        assertEquals("evil", store.add(FolderFiles(source), "../../evil", null).name)

        File(kept, ".123").mkdir() // What a copy that was cut off leaves.
        assertThrows<IllegalStateException> {
            store.add(FolderFiles(source), "bad", null) { throw IllegalStateException() }
        }
        File(source, LABELS).appendText("x")
        assertSentence("labels.txt") { store.add(FolderFiles(source), "worse", null) }
        store.remove(second)
        assertEquals(2, store.list().size)
        assertEquals(2, kept.list()!!.size)
    }
}
