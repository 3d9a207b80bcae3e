package kzoo.core.image

/** How a picture was held, by the EXIF data of its file: 1 to 8, 1 where nothing is known. */
fun orientation(file: ByteArray): Int = Exif(file).orientation() ?: 1

/** The beginnings of files that can hold EXIF data: JPEG, PNG, WebP and TIFF, which is how all of them write it. */
private class Exif(private val file: ByteArray) {
    fun orientation(): Int? = block()?.let(::inBlock)?.takeIf { it in 1..8 }

    /** Where a block of EXIF data begins. */
    private fun block(): Int? = when {
        has(0, JPEG) -> inJpeg()
        has(0, PNG) -> chunks(8, bigEndian = true, "eXIf")
        has(0, "RIFF") && has(8, "WEBP") -> chunks(12, bigEndian = false, "EXIF")?.let { if (has(it, MARK)) it + MARK.length else it }
        else -> 0
    }

    private fun inJpeg(): Int? {
        var place = 2
        while (byte(place) == 0xFF) {
            val kind = byte(place + 1)
            if (kind == IMAGE_DATA) return null
            if (kind == APPLICATION_1 && has(place + 4, MARK)) return place + 4 + MARK.length
            place += 2 + (number(place + 2, 2, true) ?: return null)
        }
        return null
    }

    /** Where the content of a chunk begins, of a file that is chunks; PNG has length, name and checksum, RIFF name and length. */
    private fun chunks(first: Int, bigEndian: Boolean, name: String): Int? {
        var place = first
        while (true) {
            val size = number(if (bigEndian) place else place + 4, 4, bigEndian) ?: return null
            if (size < 0 || size > file.size) return null
            if (has(if (bigEndian) place + 4 else place, name)) return place + 8
            place += 8 + size + if (bigEndian) 4 else size and 1
        }
    }

    private fun inBlock(start: Int): Int? {
        val bigEndian = if (has(start, "MM")) true else if (has(start, "II")) false else return null
        val table = start + (number(start + 4, 4, bigEndian)?.takeIf { it in 8..file.size } ?: return null)
        for (entry in 0 until (number(table, 2, bigEndian) ?: return null)) {
            val place = table + 2 + 12 * entry
            if (number(place, 2, bigEndian) == ORIENTATION) return number(place + 8, 2, bigEndian)
        }
        return null
    }

    private fun byte(place: Int): Int? = if (place in file.indices) file[place].toInt() and 255 else null

    private fun number(place: Int, bytes: Int, bigEndian: Boolean): Int? {
        if (place < 0 || place + bytes > file.size) return null
        var number = 0
        for (step in 0 until bytes) number = number shl 8 or byte(if (bigEndian) place + step else place + bytes - 1 - step)!!
        return number
    }

    private fun has(place: Int, text: String) =
        place >= 0 && place + text.length <= file.size && text.indices.all { byte(place + it) == text[it].code }

    private companion object {
        const val JPEG = "\u00FF\u00D8"
        const val PNG = "\u0089PNG\r\n\u001A\n"
        const val MARK = "Exif\u0000\u0000"
        const val APPLICATION_1 = 0xE1
        const val IMAGE_DATA = 0xDA
        const val ORIENTATION = 0x0112
    }
}
