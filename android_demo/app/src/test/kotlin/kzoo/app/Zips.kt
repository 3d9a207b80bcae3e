package kzoo.app

import java.io.ByteArrayOutputStream
import java.io.File
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import org.junit.Assert.assertTrue

/** A small bundle: it knows the texts of tools/make_small.py by heart, or has random weights. */
fun small(name: String): File {
    val folder = File(System.getProperty("small"), name)
    assertTrue("$folder is not there: python android_demo/tools/make_small.py makes it", folder.isDirectory)
    return folder
}

/** A picture or a sound that tools/make_small.py has made. */
fun given(name: String): ByteArray = File(System.getProperty("small"), "files/$name").readBytes()

fun zip(folder: File, prefix: String, changed: Map<String, ByteArray> = emptyMap()): ByteArray {
    val bytes = ByteArrayOutputStream()
    ZipOutputStream(bytes).use { zip ->
        zip.setLevel(1)
        val files = folder.walk().filter { it.isFile }.associate { it.relativeTo(folder).path to it.readBytes() } + changed
        for ((name, content) in files) {
            zip.putNextEntry(ZipEntry(prefix + name))
            zip.write(content)
            zip.closeEntry()
        }
    }
    return bytes.toByteArray()
}
