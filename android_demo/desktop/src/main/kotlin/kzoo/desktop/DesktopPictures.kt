package kzoo.desktop

import java.awt.image.BufferedImage
import java.awt.image.IndexColorModel
import java.io.ByteArrayInputStream
import java.io.IOException
import javax.imageio.IIOException
import javax.imageio.ImageIO
import javax.imageio.ImageReader
import kzoo.core.KzooException
import kzoo.core.image.Picture
import kzoo.core.image.PictureDecoder

/** Pictures by Java's own ImageIO: JPEG, PNG, GIF, BMP and TIFF; of an animation the first one. */
object DesktopPictures : PictureDecoder {
    init {
        ImageIO.setUseCache(false) // A picture is in memory already.
    }

    override fun decode(bytes: ByteArray, name: String): Picture {
        if (bytes.isEmpty()) throw KzooException("$name is empty; expected a picture.")
        ImageIO.createImageInputStream(ByteArrayInputStream(bytes)).use { stream ->
            val reader = ImageIO.getImageReaders(stream).asSequence().firstOrNull()
                ?: throw KzooException("$name is no picture of a format that is known; expected JPEG, PNG, GIF, BMP or TIFF.")
            try {
                reader.input = stream
                return decoded(reader, name)
            } catch (error: IOException) {
                throw damaged(name, error)
            } catch (error: RuntimeException) { // What reading damaged bytes throws is of many kinds.
                throw damaged(name, error)
            } finally {
                reader.dispose()
            }
        }
    }

    private fun decoded(reader: ImageReader, name: String): Picture {
        Picture.check(reader.getWidth(0), reader.getHeight(0), name)
        var cutOff = false
        // A JPEG that ends too early is but warned of, and the rest of it is grey.
        reader.addIIOReadWarningListener { _, warning -> if ("EOI" in warning || "premature" in warning.lowercase()) cutOff = true }
        val image = try {
            reader.read(0)
        } catch (error: IIOException) {
            if (error.message != "Unsupported Image Type") throw error
            throw KzooException("$name has colours of print (CMYK), which this program doesn't read; expected RGB or grey: convert it.")
        }
        if (cutOff) throw damaged(name, null)
        return Picture.onWhite(image.width, image.height, colours(image))
    }

    private fun damaged(name: String, error: Exception?): KzooException {
        if (error is KzooException) return error
        val reason = error?.message?.lineSequence()?.first()?.trimEnd('.')?.let { " ($it)" }.orEmpty()
        return KzooException("$name can't be read whole$reason: it is damaged, or was cut off; fetch it again.")
    }

    /** 0xAARRGGBB of a picture's own numbers: by its colour space grey ones would become lighter. Of 16 bits the upper 8 count. */
    private fun colours(image: BufferedImage): IntArray {
        val raster = image.raster
        val bands = raster.numBands
        val bits = image.colorModel.componentSize
        if (image.colorModel is IndexColorModel || bands !in 1..4 || bits.any { it < 8 }) {
            return image.getRGB(0, 0, image.width, image.height, null, 0, image.width)
        }
        val colours = IntArray(image.width * image.height)
        val row = IntArray(image.width * bands)
        val (green, blue) = if (bands < 3) 0 to 0 else 1 to 2
        for (y in 0 until image.height) {
            raster.getPixels(0, y, image.width, 1, row)
            for (x in 0 until image.width) {
                fun level(band: Int) = row[x * bands + band] shr bits[band] - 8
                val alpha = if (bands % 2 == 0) level(bands - 1) else 255
                colours[y * image.width + x] = alpha shl 24 or (level(0) shl 16) or (level(green) shl 8) or level(blue)
            }
        }
        return colours
    }
}
