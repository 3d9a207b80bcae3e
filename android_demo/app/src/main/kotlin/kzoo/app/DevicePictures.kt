package kzoo.app

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import java.nio.IntBuffer
import kzoo.core.KzooException
import kzoo.core.image.Picture
import kzoo.core.image.PictureDecoder
import kzoo.core.image.orientation

/**
 * Pictures by Android's own BitmapFactory: JPEG, PNG, WebP, GIF and BMP; of an animation the first one. Not
 * HEIF, whose turns BitmapFactory leaves out and EXIF data doesn't tell.
 *
 * Of the two that phones make, JPEG and PNG, one that was cut off is refused: BitmapFactory says nothing
 * and leaves the rest grey.
 */
object DevicePictures : PictureDecoder {
    override fun decode(bytes: ByteArray, name: String): Picture = decode(bytes, name) { _, _ -> 1 }

    /** To look at: upright, with half, a quarter ... of its sides where the shorter one stays at least so long. */
    fun small(bytes: ByteArray, name: String, side: Int): Bitmap {
        val picture = decode(bytes, name) { width, height -> maxOf(1, Integer.highestOneBit(minOf(width, height) / side)) }.upright(orientation(bytes))
        return bitmap(picture)
    }

    /** A picture for a view. */
    fun bitmap(picture: Picture): Bitmap {
        val opaque = IntArray(picture.pixels.size) { picture.pixels[it] or 0xFF000000.toInt() }
        return Bitmap.createBitmap(opaque, picture.width, picture.height, Bitmap.Config.ARGB_8888)
    }

    /** `step` says of how many columns and rows, a power of two, one is taken. */
    private fun decode(bytes: ByteArray, name: String, step: (Int, Int) -> Int): Picture {
        if (bytes.isEmpty()) throw KzooException("$name is empty; expected a picture.")
        val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        BitmapFactory.decodeByteArray(bytes, 0, bytes.size, bounds)
        if (bounds.outMimeType == null || bounds.outWidth < 0 || isHeif(bytes)) {
            throw KzooException("$name is no picture of a format that is known; expected JPEG, PNG, WebP, GIF or BMP.")
        }
        Picture.check(bounds.outWidth, bounds.outHeight, name)
        val taken = step(bounds.outWidth, bounds.outHeight)
        // Four bytes a pixel in the bitmap, and as many in the array that is made of it.
        if (8L * bounds.outWidth * bounds.outHeight / (taken * taken) > Runtime.getRuntime().maxMemory()) {
            throw KzooException("$name is ${bounds.outWidth} by ${bounds.outHeight} pixels, for which this device has no memory: make it smaller.")
        }
        val options = BitmapFactory.Options().apply {
            inPreferredConfig = Bitmap.Config.ARGB_8888
            inPremultiplied = false
            inScaled = false
            inSampleSize = taken
        }
        val bitmap = BitmapFactory.decodeByteArray(bytes, 0, bytes.size, options)
        if (bitmap == null || !isWhole(bytes)) {
            bitmap?.recycle()
            throw KzooException("$name can't be read whole: it is damaged, or was cut off; fetch it again.")
        }
        try {
            return Picture.onWhite(bitmap.width, bitmap.height, colours(bitmap))
        } finally {
            bitmap.recycle()
        }
    }

    /** 0xAARRGGBB as the file has them: `getPixels` would convert them to sRGB, which Python does not. */
    private fun colours(bitmap: Bitmap): IntArray {
        val colours = IntArray(bitmap.width * bitmap.height)
        if (bitmap.config != Bitmap.Config.ARGB_8888) { // Of 16 bits a channel.
            bitmap.getPixels(colours, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
            return colours
        }
        bitmap.copyPixelsToBuffer(IntBuffer.wrap(colours))
        if (!redIsFirst) return colours
        for (place in colours.indices) {
            val colour = colours[place]
            colours[place] = colour and 0xFF00FF00.toInt() or (colour and 0xFF shl 16) or (colour shr 16 and 0xFF)
        }
        return colours
    }

    /** Whether red is the lowest byte of a pixel in memory: so on devices, and not where a desktop stands in for one. */
    private val redIsFirst: Boolean by lazy {
        val red = Bitmap.createBitmap(intArrayOf(0xFFFF0000.toInt()), 1, 1, Bitmap.Config.ARGB_8888)
        IntArray(1).also { red.copyPixelsToBuffer(IntBuffer.wrap(it)) }[0] and 0xFF == 0xFF
    }

    private fun isHeif(file: ByteArray) = file.size >= 8 && String(file, 4, 4, Charsets.ISO_8859_1) == "ftyp"

    /** Whether a JPEG or PNG has its end; what other formats hold is not looked at. */
    private fun isWhole(file: ByteArray): Boolean {
        fun byte(place: Int) = if (place in file.indices) file[place].toInt() and 255 else -1
        return when {
            byte(0) == 0xFF && byte(1) == 0xD8 -> {
                var place = 2 // Past the segments before the lines, of which one may hold a whole small picture.
                while (byte(place) == 0xFF && byte(place + 1) != 0xDA) place += 2 + (byte(place + 2) shl 8 or byte(place + 3)).coerceAtLeast(0)
                (place until file.size - 1).any { file[it] == 0xFF.toByte() && file[it + 1] == 0xD9.toByte() }
            }
            byte(0) == 0x89 && byte(1) == 'P'.code -> {
                var place = 8
                while (place + 8 <= file.size && String(file, place + 4, 4, Charsets.ISO_8859_1) != "IEND") {
                    val size = (0..3).fold(0) { number, step -> number shl 8 or byte(place + step) }
                    if (size < 0 || size > file.size) return false
                    place += 12 + size
                }
                place + 8 <= file.size
            }
            else -> true
        }
    }
}
