package kzoo.desktop

import java.io.File
import java.util.concurrent.TimeUnit
import kzoo.core.json.Json
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** The command in a process of its own, as a user runs it. */
class CommandTest {
    private class Ran(val code: Int, val out: String, val err: String)

    private fun run(vararg arguments: String, input: ByteArray = ByteArray(0), java: List<String> = emptyList()): Ran {
        val program = File(System.getProperty("java.home"), "bin/java").path
        val command = listOf(program) + java + listOf("-cp", System.getProperty("java.class.path"), "kzoo.desktop.Main") + arguments
        val folder = createTempDir()
        val files = listOf("in", "out", "err").map { File(folder, it) }
        files[0].writeBytes(input)
        val process = ProcessBuilder(command).redirectInput(files[0]).redirectOutput(files[1]).redirectError(files[2]).start()
        assertTrue(process.waitFor(120, TimeUnit.SECONDS))
        // The engine's own news, which begins with INFO, is not ours to silence.
        val err = files[2].readLines().filter { !it.startsWith("INFO: ") }.joinToString("\n")
        return Ran(process.exitValue(), files[1].readText(), err).also { folder.deleteRecursively() }
    }

    private fun createTempDir() = java.nio.file.Files.createTempDirectory("kzoo").toFile()

    private val bundle = RealBundle.folder.path

    @Test
    fun `predict answers every line`() {
        val ran = run("predict", bundle, input = "A wonderful film.\r\n\nDull and \u00e9mpty \uD83D\uDE00.\n\n".toByteArray())
        assertEquals("", ran.err)
        assertEquals(0, ran.code)
        val answers = ran.out.trimEnd('\n').split('\n').map { Json.parse(it) as Map<*, *> }
        assertEquals(listOf("A wonderful film.", "", "Dull and \u00e9mpty \uD83D\uDE00."), answers.map { it["text"] })
        assertEquals(listOf("positive", "negative"), listOf(answers[0]["label"], answers[2]["label"]))
        assertEquals(listOf("text", "tokens", "truncated", "label", "score", "scores"), answers[0].keys.toList())
        val scores = answers[0]["scores"] as Map<*, *>
        assertEquals(listOf("negative", "positive"), scores.keys.toList())
        assertEquals(scores["positive"], answers[0]["score"])
        assertEquals(6L, answers[0]["tokens"])
    }

    @Test
    fun `predict reads pairs`() {
        val ran = run("predict", bundle, "--pairs", input = "[\"It was\", \"a waste\\tof time\"]\nIt was\tlovely\n".toByteArray())
        val answers = ran.out.trim().split('\n').map { Json.parse(it) as Map<*, *> }
        assertEquals(listOf(listOf("It was", "a waste\tof time"), listOf("It was", "lovely")), answers.map { it["text"] })
        failing("two texts", "predict", bundle, "--pairs", input = "[\"one\"]".toByteArray())
    }

    @Test
    fun `verify runs the golden examples`(@TempDir folder: File) {
        val ran = run("verify", bundle)
        assertEquals(0, ran.code, ran.err)
        assertTrue(ran.out.lines().count { it.startsWith("ok") } >= 13, ran.out)
        failing("needs TensorFlow Lite", "verify", bundle, "--runtime", "tflite-2.3.0")
        assertEquals(0, run("verify", bundle, "--runtime", "litert-1.4.2").code)
        failing("kzoo.json", "verify", File(folder, "none").apply { mkdir() }.path)
        val other = RealBundle.changed(File(folder, "b")) { manifest ->
            manifest["golden"] = (manifest["golden"] as List<*>).map { it as Map<*, *> + ("text" to "Another text.") }
        }
        val failed = run("verify", other.path)
        assertEquals(2, failed.code)
        assertTrue("FAILED" in failed.out && "12 of 12 golden examples" in failed.err, failed.err)
    }

    @Test
    fun `mistakes are one sentence and code 2`() {
        failing("usage", "dance")
        failing("usage")
        failing("is no folder", "predict", "$bundle/none", input = "a".toByteArray())
        failing("is no zip", "predict", "$bundle/labels.txt", input = "a".toByteArray())
        failing("No text came", "predict", bundle)
        failing("is not UTF-8", "predict", bundle, input = byteArrayOf(97, -1, 10))
        failing("--what", "predict", bundle, "--what")
    }

    @Test
    fun `too little memory is a sentence`() {
        failing("memory", "predict", bundle, input = ByteArray(16_000_000) { 97 }, java = listOf("-Xmx20m", "-XX:+UseSerialGC"))
    }

    private fun failing(part: String, vararg arguments: String, input: ByteArray = ByteArray(0), java: List<String> = emptyList()) {
        val ran = run(*arguments, input = input, java = java)
        assertEquals(2, ran.code, ran.err)
        assertEquals("", ran.out)
        assertTrue(part in ran.err, ran.err)
        assertTrue("\tat " !in ran.err, ran.err)
    }
}
