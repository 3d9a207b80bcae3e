package kzoo.desktop

import java.io.File
import java.security.MessageDigest
import kzoo.core.KzooException
import kzoo.core.bundle.MANIFEST
import kzoo.core.json.Json
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.assertThrows

/** The bundle that `kzoo export export/sentiment.json` wrote. */
object RealBundle {
    val folder = File(System.getProperty("bundle"))

    init {
        check(File(folder, MANIFEST).isFile) { "$folder is not there: run make android, or mvn -Dbundle=FOLDER." }
    }

    /** A copy of it whose files and manifest were changed, and which was sealed again. */
    fun changed(target: File, change: (MutableMap<String, Any?>) -> Unit = {}): File {
        folder.copyRecursively(target)
        reseal(target, change)
        return target
    }

    @Suppress("UNCHECKED_CAST")
    fun reseal(target: File, change: (MutableMap<String, Any?>) -> Unit = {}) {
        val manifest = (Json.parse(File(target, MANIFEST).readText()) as Map<String, Any?>).toMutableMap()
        change(manifest)
        manifest["files"] = target.listFiles()!!.filter { it.name != MANIFEST }.associate {
            it.name to mapOf("bytes" to it.length(), "sha256" to sha256(it.readBytes()))
        }
        manifest.remove("seal")
        val zeros = "0".repeat(64)
        val text = Json.write(manifest + ("seal" to zeros))
        val place = text.lastIndexOf(zeros)
        File(target, MANIFEST).writeText(text.replaceRange(place, place + 64, sha256(text.toByteArray())))
    }

    private fun sha256(bytes: ByteArray) =
        MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }
}

/** Runs what must fail with one clear sentence, which names what it should. */
fun assertSentence(vararg parts: String, run: () -> Unit) {
    val message = assertThrows<KzooException> { run() }.message!!
    assertTrue(message.endsWith(".") && '\n' !in message, message)
    assertFalse("Exception" in message, message)
    for (part in parts) assertTrue(part in message, "\"$part\" is not in: $message")
}
