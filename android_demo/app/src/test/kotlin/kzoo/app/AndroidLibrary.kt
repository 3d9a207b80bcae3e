package kzoo.app

import java.io.File
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Files

/**
 * TensorFlow Lite's own library for Android on x86-64, as the AAR holds it, in this JVM.
 *
 * Linux loads it once it asks for no Android versions of symbols and for no Android libraries but
 * one, which `bionic.c` stands in for. Its code is as it was.
 */
object AndroidLibrary {
    /** Why it can't be loaded here; null where it was, into this class loader, in which TensorFlow Lite's classes find it. */
    val missing: String? by lazy {
        if (System.getProperty("os.name") != "Linux" || System.getProperty("os.arch") != "amd64") return@lazy "this is not Linux on x86-64"
        try {
            load()
            null
        } catch (error: IOException) {
            "there is no C compiler: ${error.message}"
        } catch (error: UnsatisfiedLinkError) {
            "Linux' loader refuses it: ${error.message}"
        }
    }

    private fun load() {
        val root = File(System.getProperty("root"))
        // A folder for each class loader, for a file is loaded into one only; Robolectric has its own.
        val folder = Files.createTempDirectory(File(root, "app/target").toPath(), "linux").toFile()
        val libc = File(folder, "libc.so")
        val compiler = ProcessBuilder("cc", "-shared", "-fPIC", "-O1", "-Wl,-soname,libc.so", "-o", "$libc", "$root/app/src/test/c/bionic.c", "-lm")
        if (compiler.inheritIO().start().waitFor() != 0) throw IOException("bionic.c was not compiled")
        val library = File(folder, "libtensorflowlite_jni.so")
        library.writeBytes(forLinux(File(root, "aars/tflite/target/lite/jni/x86_64/libtensorflowlite_jni.so").readBytes()))
        System.load(libc.path)
        System.load(library.path)
        check(folder.deleteRecursively())
    }

    private fun forLinux(elf: ByteArray): ByteArray {
        val bytes = ByteBuffer.wrap(elf).order(ByteOrder.LITTLE_ENDIAN)
        val headers = bytes.getLong(32).toInt()
        val dynamic = (0 until bytes.getShort(56)).map { headers + 56 * it }.first { bytes.getInt(it) == DYNAMIC }
        val entries = bytes.getLong(dynamic + 8).toInt().let { start -> generateSequence(start) { it + 16 }.takeWhile { bytes.getLong(it) != 0L } }
        val strings = entries.first { bytes.getLong(it) == STRINGS }.let { bytes.getLong(it + 8).toInt() }
        fun text(place: Int) = String(elf, place, (place until elf.size).first { elf[it] == 0.toByte() } - place)
        for (entry in entries.toList()) {
            val dropped = when (bytes.getLong(entry)) {
                NEEDED -> text(strings + bytes.getLong(entry + 8).toInt()) != "libc.so"
                in VERSIONS -> true
                else -> false
            }
            if (dropped) bytes.putLong(entry, IGNORED)
        }
        val names = String(elf, Charsets.ISO_8859_1)
        val sysconf = names.indexOf("\u0000sysconf\u0000", strings)
        check(sysconf > 0 && names.indexOf("\u0000sysconf\u0000", sysconf + 1) < 0)
        elf[sysconf + "sysconf".length] = 'F'.code.toByte()
        return elf
    }

    // Of the ELF format: a segment's kind, and kinds of entries in it.
    private const val DYNAMIC = 2
    private const val NEEDED = 1L
    private const val STRINGS = 5L
    private const val IGNORED = 21L // DT_DEBUG, which the loader of programs fills in and of libraries skips.
    private val VERSIONS = setOf(0x6ffffff0L, 0x6ffffffcL, 0x6ffffffdL, 0x6ffffffeL, 0x6fffffffL)
}
