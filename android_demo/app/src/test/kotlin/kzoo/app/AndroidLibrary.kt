package kzoo.app

import java.io.File
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Files

/**
 * TensorFlow Lite's own libraries for Android on x86-64, as their AARs hold them, in this JVM.
 *
 * Linux loads them once they ask for no Android versions of symbols and for no Android libraries but
 * the one that `bionic.c` stands in for, and those of OpenGL, which Linux has by other names. Their
 * code is as it was.
 */
object AndroidLibrary {
    /** Why it can't be loaded here; null where it was, into this class loader, in which TensorFlow Lite's classes find it. */
    val missing: String? by lazy {
        loaded { folder ->
            System.load(compiled(folder, "libc.so", "$root/app/src/test/c/bionic.c", "-lm").path)
            System.load(forLinux(folder, "lite", "libtensorflowlite_jni.so").path)
        }
    }

    /** The same of the GPU delegate's library; where it was loaded, OpenGL is that of this machine. */
    val missingGpu: String? by lazy {
        missing ?: if (!File(MESA).isFile) "Mesa is not there" else loaded { folder ->
            for ((name, linked) in OPEN_GL) System.load(compiled(folder, name, "-xc", "/dev/null", "-Wl,--no-as-needed", "-l:$linked").path)
            if (missingOpenCl == null) {
                val sources = arrayOf("$root/app/src/test/c/opencl.c", "-Wl,--no-as-needed", "-l:libOpenCL.so.1", "-ldl")
                System.load(compiled(folder, "libOpenCL.so", *sources).path)
            }
            System.load(forLinux(folder, "gpu", "libtensorflowlite_gpu_jni.so").path)
        }
    }

    /** Why no processor plays a GPU by OpenCL here, which the delegate takes before OpenGL; null where one does. */
    val missingOpenCl: String? = if (File(POCL).isFile) null else "PoCL is not there"

    private val root = File(System.getProperty("root"))

    private fun loaded(load: (File) -> Unit): String? {
        if (System.getProperty("os.name") != "Linux" || System.getProperty("os.arch") != "amd64") return "this is not Linux on x86-64"
        // A folder for each class loader, for a file is loaded into one only; Robolectric has its own.
        val folder = Files.createTempDirectory(File(root, "app/target").toPath(), "linux").toFile()
        try {
            load(folder)
            return null
        } catch (error: IOException) {
            return "there is no C compiler, or nothing to link: ${error.message}"
        } catch (error: UnsatisfiedLinkError) {
            return "Linux' loader refuses it: ${error.message}"
        } finally {
            check(folder.deleteRecursively())
        }
    }

    private fun compiled(folder: File, name: String, vararg sources: String): File {
        val library = File(folder, name)
        val compiler = ProcessBuilder("cc", "-shared", "-fPIC", "-O1", "-Wl,-soname,$name", "-o", "$library", *sources)
        if (compiler.inheritIO().start().waitFor() != 0) throw IOException("$name was not compiled")
        return library
    }

    private fun forLinux(folder: File, aar: String, name: String) =
        File(folder, name).apply { writeBytes(forLinux(File(root, "aars/tflite/target/$aar/jni/x86_64/$name").readBytes())) }

    private fun forLinux(elf: ByteArray): ByteArray {
        val bytes = ByteBuffer.wrap(elf).order(ByteOrder.LITTLE_ENDIAN)
        val headers = bytes.getLong(32).toInt()
        val dynamic = (0 until bytes.getShort(56)).map { headers + 56 * it }.first { bytes.getInt(it) == DYNAMIC }
        val entries = bytes.getLong(dynamic + 8).toInt().let { start -> generateSequence(start) { it + 16 }.takeWhile { bytes.getLong(it) != 0L } }
        val strings = entries.first { bytes.getLong(it) == STRINGS }.let { bytes.getLong(it + 8).toInt() }
        fun text(place: Int) = String(elf, place, (place until elf.size).first { elf[it] == 0.toByte() } - place)
        for (entry in entries.toList()) {
            val dropped = when (bytes.getLong(entry)) {
                NEEDED -> text(strings + bytes.getLong(entry + 8).toInt()).let { it != "libc.so" && it !in OPEN_GL }
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

    /** The OpenGL that computes on a processor; pom.xml asks for it, as others were not tried. */
    private const val MESA = "/usr/share/glvnd/egl_vendor.d/50_mesa.json"

    /** An OpenCL that computes on a processor. */
    private const val POCL = "/etc/OpenCL/vendors/pocl.icd"

    /** What Android's libraries of OpenGL are called on Linux. */
    private val OPEN_GL = mapOf("libEGL.so" to "libEGL.so.1", "libGLESv3.so" to "libGLESv2.so.2")

    // Of the ELF format: a segment's kind, and kinds of entries in it.
    private const val DYNAMIC = 2
    private const val NEEDED = 1L
    private const val STRINGS = 5L
    private const val IGNORED = 21L // DT_DEBUG, which the loader of programs fills in and of libraries skips.
    private val VERSIONS = setOf(0x6ffffff0L, 0x6ffffffcL, 0x6ffffffdL, 0x6ffffffeL, 0x6fffffffL)
}
