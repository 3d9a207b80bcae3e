package kzoo.core.image

import kzoo.core.KzooException

/** A picture without transparency: row by row from the top, 0xRRGGBB each. */
class Picture(val width: Int, val height: Int, val pixels: IntArray) {
    init {
        require(width > 0 && height > 0 && pixels.size == width * height)
    }

    /** In grey, by the weights of ITU-R 601-2, as Pillow's "L" has it. */
    fun grey(): Picture = changed { pixel ->
        val level = ((pixel shr 16 and 255) * 19595 + (pixel shr 8 and 255) * 38470 + (pixel and 255) * 7471 + 0x8000) shr 16
        level * 0x010101
    }

    /** A copy that was turned upright, from one of EXIF's eight orientations. */
    fun upright(orientation: Int): Picture = when (orientation) {
        2 -> moved(width, height) { x, y -> (width - 1 - x) + y * width }
        3 -> moved(width, height) { x, y -> (width - 1 - x) + (height - 1 - y) * width }
        4 -> moved(width, height) { x, y -> x + (height - 1 - y) * width }
        5 -> moved(height, width) { x, y -> y + x * width }
        6 -> moved(height, width) { x, y -> y + (height - 1 - x) * width }
        7 -> moved(height, width) { x, y -> (width - 1 - y) + (height - 1 - x) * width }
        8 -> moved(height, width) { x, y -> (width - 1 - y) + x * width }
        else -> this
    }

    private inline fun moved(width: Int, height: Int, from: (Int, Int) -> Int): Picture {
        val target = IntArray(pixels.size)
        for (y in 0 until height) for (x in 0 until width) target[y * width + x] = pixels[from(x, y)]
        return Picture(width, height, target)
    }

    private inline fun changed(to: (Int) -> Int) = Picture(width, height, IntArray(pixels.size) { to(pixels[it]) })

    companion object {
        /** A file with more pixels isn't decoded: a small one can hold a picture that fills the memory. */
        const val MOST_PIXELS = 1 shl 27

        /** KzooException, before anything is decoded, for sides that make no picture, or one that is too large. */
        fun check(width: Int, height: Int, name: String) {
            if (width < 1 || height < 1) throw KzooException("$name has no pixels: it is $width by $height.")
            if (width.toLong() * height > MOST_PIXELS) {
                throw KzooException("$name has more than 134,217,728 pixels, the most that are read: make it smaller.")
            }
        }

        /**
         * Of colours that may be transparent, 0xAARRGGBB and not multiplied by that; white is beneath them.
         * The array becomes the picture's own: a phone has no room for two of a photograph.
         */
        fun onWhite(width: Int, height: Int, colours: IntArray): Picture {
            for (place in colours.indices) colours[place] = onWhite(colours[place])
            return Picture(width, height, colours)
        }

        private fun onWhite(colour: Int): Int = when (val alpha = colour ushr 24) {
            255 -> colour and 0xFFFFFF
            0 -> 0xFFFFFF
            else -> over(colour shr 16 and 255, alpha) shl 16 or (over(colour shr 8 and 255, alpha) shl 8) or over(colour and 255, alpha)
        }

        /** A level over white, in steps of 1/128 of a level and rounded, as Pillow composes. */
        private fun over(level: Int, alpha: Int): Int {
            val share = alpha shl 7
            val sum = level * share + 255 * ((255 shl 7) - share) + (128 shl 7)
            return ((sum shr 8) + sum) shr 8 shr 7
        }
    }
}

/**
 * What makes pixels of a file's bytes: each platform has its own.
 *
 * `decode` gives the picture as it lies in the file, not turned; `name` is what the file is called in the
 * KzooException for bytes that are no picture, or one that was cut off.
 */
fun interface PictureDecoder {
    fun decode(bytes: ByteArray, name: String): Picture

    companion object {
        /** For programs that read no pictures. */
        val NONE = PictureDecoder { _, name -> throw KzooException("$name is a picture, and this program reads none: take the program that does.") }
    }
}
