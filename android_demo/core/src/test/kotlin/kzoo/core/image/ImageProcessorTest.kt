package kzoo.core.image

import kzoo.core.bundle.assertSentence
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class ImageProcessorTest {
    private val square = mapOf("height" to 2L, "width" to 2L)
    private val corners = Picture(2, 3, intArrayOf(1, 2, 3, 4, 5, 6))

    private fun processor(vararg fields: Pair<String, Any?>, channels: Int = 3) = ImageProcessor.read(
        mapOf("image_processor_type" to "ViTImageProcessor", "size" to square) + fields, intArrayOf(1, 2, 2, channels), "b/preprocessor_config.json",
    )

    @Test
    fun `every orientation of EXIF is turned upright`() {
        val upright = listOf(
            listOf(1, 2, 3, 4, 5, 6), listOf(2, 1, 4, 3, 6, 5), listOf(6, 5, 4, 3, 2, 1), listOf(5, 6, 3, 4, 1, 2),
            listOf(1, 3, 5, 2, 4, 6), listOf(5, 3, 1, 6, 4, 2), listOf(6, 4, 2, 5, 3, 1), listOf(2, 4, 6, 1, 3, 5),
        )
        for ((place, pixels) in upright.withIndex()) {
            val turned = corners.upright(place + 1)
            assertEquals(pixels, turned.pixels.toList(), "orientation ${place + 1}")
            assertEquals(if (place < 4) 2 else 3, turned.width)
        }
    }

    @Test
    fun `EXIF is found in each kind of file, and damaged EXIF is none`() {
        val big = "MM\u0000*\u0000\u0000\u0000\u0008\u0000\u0001\u0001\u0012\u0000\u0003\u0000\u0000\u0000\u0001\u0000\u0006\u0000\u0000"
        val little = "II*\u0000\u0008\u0000\u0000\u0000\u0001\u0000\u0012\u0001\u0003\u0000\u0001\u0000\u0000\u0000\u0008\u0000\u0000\u0000"
        fun size(text: String) = "\u0000\u0000\u0000" + text.length.toChar()
        val files = mapOf(
            "\u00FF\u00D8\u00FF\u00E0\u0000\u0004ab\u00FF\u00E1\u0000" + (8 + big.length).toChar() + "Exif\u0000\u0000" + big to 6,
            "\u0089PNG\r\n\u001A\n" + size("ab") + "IHDRab1234" + size(little) + "eXIf" + little to 8,
            "RIFF1234WEBPEXIF" + size(big).reversed() + big to 6,
            little to 8,
            little.dropLast(6) to 1,
            "" to 1,
            "\u00FF\u00D8\u00FF\u00E1" to 1,
        )
        for ((file, expected) in files) assertEquals(expected, orientation(file.toByteArray(Charsets.ISO_8859_1)), file)
    }

    @Test
    fun `a picture is resized as Pillow resizes it`() {
        val picture = Picture(4, 4, IntArray(16) { (it * 16) shl 16 or ((255 - it) shl 8) or it * it })
        val levels = processor("resample" to 3L).read(picture).map { it.toInt() and 255 }
        assertEquals(listOf(47, 252, 13, 77, 251, 27, 163, 244, 109, 193, 243, 150), levels)
    }

    @Test
    fun `the middle is cut out, with black round what is smaller`() {
        val cut = processor("do_resize" to false, "do_center_crop" to true, "crop_size" to square)
        fun blue(picture: Picture) = cut.read(picture).filterIndexed { place, _ -> place % 3 == 2 }.map { it.toInt() }
        assertEquals(listOf(3, 4, 5, 6), blue(Picture(2, 4, IntArray(8) { it + 1 })))
        assertEquals(listOf(0, 0, 0, 7), blue(Picture(1, 1, intArrayOf(7))))
    }

    @Test
    fun `what is transparent shows white`() {
        val seen = Picture.onWhite(3, 1, intArrayOf(0x00FF0000, 0x80FF0000.toInt(), 0xFF102030.toInt()))
        assertEquals(listOf(0xFFFFFF, 0xFF7F7F, 0x102030), seen.pixels.toList())
    }

    @Test
    fun `what is no picture of the model's is one sentence`() {
        assertSentence("image processor Telepathy", "expected one of ViT") { processor("image_processor_type" to "Telepathy") }
        assertSentence("size = 0") { processor("size" to 0L) }
        assertSentence("resample = 9") { processor("resample" to 9L) }
        assertSentence("2 x 2 x 3", "export anew") {
            ImageProcessor.read(mapOf("image_processor_type" to "ViTImageProcessor", "size" to square), intArrayOf(1, 4, 4, 3), "b")
        }
        assertSentence("134,217,728") { Picture.check(100_000, 100_000, "bomb.png") }
    }
}
