package kzoo.core.search

import java.io.File
import java.io.FileInputStream
import java.io.IOException
import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
import kzoo.core.KzooException

/** The numbers of a NumPy file (.npy, formats 1 to 3), row by row, where they lie on disk. `type` is NumPy's name of theirs. */
internal class Numbers private constructor(val type: String, val shape: List<Int>, val bytes: ByteBuffer) {
    companion object {
        private val MAGIC = byteArrayOf(0x93.toByte()) + "NUMPY".toByteArray(Charsets.US_ASCII)
        private val SIZES = mapOf("|i1" to 1.0, "<f4" to 4.0, "<i8" to 8.0)
        private val TYPE = Regex("'descr': *'([^']*)'")
        private val SHAPE = Regex("'shape': *\\(([0-9, ]*)\\)")
        private val ORDER = Regex("'fortran_order': *False")

        fun read(file: File): Numbers {
            val all = try {
                FileInputStream(file).channel.use { it.map(FileChannel.MapMode.READ_ONLY, 0, it.size()) }
            } catch (error: IOException) {
                throw KzooException("$file is missing or can't be read: index anew.")
            }
            return read(all, file.path)
        }

        /** `name` is that of the file, for an error. */
        fun read(all: ByteBuffer, name: String): Numbers {
            fun wrong() = KzooException("$name holds no numbers as an index has them: index anew.")
            val bytes = all.duplicate().order(ByteOrder.LITTLE_ENDIAN)
            if (bytes.limit() < 12 || MAGIC.indices.any { bytes.get(it) != MAGIC[it] }) throw wrong()
            val isLong = bytes.get(MAGIC.size) > 1
            val from = if (isLong) 12 else 10
            val size = if (isLong) bytes.getInt(8) else bytes.getShort(8).toInt() and 0xFFFF
            if (size < 0 || size > bytes.limit() - from) throw wrong()
            val header = String(CharArray(size) { (bytes.get(from + it).toInt() and 0xFF).toChar() })
            val type = TYPE.find(header)?.groupValues?.get(1)
            val width = SIZES[type] ?: throw wrong()
            val sides = SHAPE.find(header)?.groupValues?.get(1)?.split(',')?.map { it.trim() }?.filter { it.isNotEmpty() } ?: throw wrong()
            val shape = sides.map { it.toIntOrNull() ?: throw wrong() }
            val whole = shape.fold(width) { product, side -> product * side } // Of doubles: of what nobody wrote it may be any size.
            if (!ORDER.containsMatchIn(header) || whole != (bytes.limit() - from - size).toDouble()) throw wrong()
            (bytes as Buffer).position(from + size) // ByteBuffer has a position of its own on the JDK, not on API 26.
            return Numbers(type!!, shape, bytes.slice().order(ByteOrder.LITTLE_ENDIAN))
        }
    }
}
