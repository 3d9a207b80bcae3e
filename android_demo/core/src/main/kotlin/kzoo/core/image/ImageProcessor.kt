package kzoo.core.image

import kzoo.core.KzooException

/**
 * Makes the picture that a model reads of any picture: resized, and its middle cut out. Numbers come out
 * as Python's `ImageProcessor.resized` gives them; the model itself scales them.
 *
 * `size` is (height, width), `shortest` the length of the shorter side, which keeps the ratio of both;
 * without either a picture isn't resized. `crop` is (height, width) of what is cut out; where a picture
 * is smaller, black stands round it. `channels` is 3, or 1 for pictures in grey.
 */
class ImageProcessor private constructor(
    private val size: Pair<Int, Int>?,
    private val shortest: Int?,
    private val crop: Pair<Int, Int>?,
    private val resampling: Resampling,
    private val channels: Int,
) {
    private val sides: Pair<Int, Int> = crop ?: size!!

    /** How many numbers a picture becomes: (height, width, channels). */
    val shape: IntArray get() = intArrayOf(sides.first, sides.second, channels)

    /** Levels of 0 to 255, as bytes without a sign: rows of pixels of channels. `older` as `resized` has it. */
    fun read(picture: Picture, older: Boolean = false): ByteArray {
        val (height, width) = sides
        val given = if (channels == 1) picture.grey() else picture
        val (rows, columns) = sizeOf(given)
        // Half the difference, rounded down: below zero where the picture is smaller.
        val top = (rows - height) shr 1
        val left = (columns - width) shr 1
        val kept = Box(maxOf(left, 0), maxOf(top, 0), minOf(left + width, columns), minOf(top + height, rows))
        val cut = cut(given, rows, columns, kept, older)
        val levels = ByteArray(height * width * channels)
        for (row in 0 until cut.height) {
            var place = ((kept.top - top + row) * width + kept.left - left) * channels
            for (column in 0 until cut.width) {
                val pixel = cut.pixels[row * cut.width + column]
                for (channel in channels - 1 downTo 0) levels[place++] = (pixel shr 8 * channel).toByte()
            }
        }
        return levels
    }

    /** (rows, columns) of a picture once it is resized. */
    private fun sizeOf(picture: Picture): Pair<Int, Int> {
        if (size != null) return size
        if (shortest == null) return picture.height to picture.width
        val short = minOf(picture.width, picture.height)
        val longer = (shortest.toDouble() * maxOf(picture.width, picture.height) / short).toInt()
        return if (picture.width <= picture.height) longer to shortest else shortest to longer
    }

    private class Box(val left: Int, val top: Int, val right: Int, val bottom: Int)

    /** What is kept of a picture once it has so many rows and columns. */
    private fun cut(picture: Picture, rows: Int, columns: Int, kept: Box, older: Boolean): Picture {
        if (size == null && shortest == null) return cropped(picture, kept)
        if (rows.toLong() * columns <= LARGEST) return cropped(picture.resized(columns, rows, resampling, older = older), kept)
        // Of a picture that is nearly a line the rest would fill the memory.
        val across = picture.width.toDouble() / columns
        val down = picture.height.toDouble() / rows
        val area = Area(
            (kept.left * across).toFloat(), (kept.top * down).toFloat(), (kept.right * across).toFloat(), (kept.bottom * down).toFloat(),
        )
        return picture.resized(kept.right - kept.left, kept.bottom - kept.top, resampling, area, older)
    }

    private fun cropped(picture: Picture, kept: Box): Picture {
        val width = kept.right - kept.left
        val height = kept.bottom - kept.top
        if (width == picture.width && height == picture.height) return picture
        val pixels = IntArray(width * height)
        for (row in 0 until height) {
            val from = (kept.top + row) * picture.width + kept.left
            picture.pixels.copyInto(pixels, row * width, from, from + width)
        }
        return Picture(width, height, pixels)
    }

    companion object {
        /** Pixels of a resized picture that is made whole before it is cropped. */
        private const val LARGEST = 1 shl 24
        private val TYPES = listOf("image_processor_type", "feature_extractor_type")
        private val ENDS = listOf("ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor")

        private fun square(side: Int) = mapOf("height" to side, "width" to side)

        /** What keys mean that a file doesn't have, by the class that it names: transformers' defaults. */
        private val DEFAULTS = mapOf(
            "ViT" to mapOf("size" to square(224), "resample" to 2, "do_center_crop" to false),
            "DeiT" to mapOf("size" to square(256), "resample" to 3, "do_center_crop" to true, "crop_size" to square(224)),
            "CLIP" to mapOf("size" to mapOf("shortest_edge" to 224), "resample" to 3, "do_center_crop" to true, "crop_size" to square(224)),
            "MobileViT" to mapOf("size" to mapOf("shortest_edge" to 224), "resample" to 3, "do_center_crop" to true, "crop_size" to square(256)),
        )
        /** Where a size of one number is that of the shorter side. */
        private val KEEPS_RATIO = setOf("CLIP", "MobileViT")

        /**
         * What the object of a `preprocessor_config.json` describes, which `source` names in an error;
         * `shape` is that of the model's input, (batch, height, width, channels).
         */
        fun read(config: Map<*, *>, shape: IntArray, source: String): ImageProcessor {
            val name = TYPES.firstNotNullOfOrNull { config[it] as? String }.orEmpty()
            val kind = ENDS.firstOrNull { name.endsWith(it) }?.let { name.removeSuffix(it) }
            val defaults = DEFAULTS[kind] ?: throw KzooException(
                "$source has the image processor ${name.take(60).ifEmpty { "of no name" }}; " +
                    "expected one of ${DEFAULTS.keys.joinToString { "${it}ImageProcessor" }}: take the program that reads it.",
            )
            fun value(key: String) = config[key] ?: defaults[key]
            fun wrong(key: String): Nothing = throw KzooException(
                "$source has $key = ${value(key).toString().take(40)}, which nobody reads: export anew.",
            )
            fun sides(key: String): Pair<Int, Int> {
                val given = value(key)
                val both = if (given is Map<*, *>) listOf(given["height"], given["width"]) else listOf(given, given)
                val (height, width) = both.map { (it as? Number)?.toInt()?.takeIf { side -> side in 1..MOST_SIDE } ?: wrong(key) }
                return height to width
            }
            val resizes = config["do_resize"] != false
            val shortest = value("size").let { if (it is Map<*, *>) it["shortest_edge"] else it.takeIf { kind in KEEPS_RATIO } } as? Number
            val crop = if (value("do_center_crop") == true) sides("crop_size") else null
            val resampling = Resampling.values().getOrNull((value("resample") as? Number)?.toInt() ?: -1) ?: wrong("resample")
            val processor = ImageProcessor(
                if (resizes && shortest == null) sides("size") else null,
                if (resizes) shortest?.toInt()?.also { if (it !in 1..MOST_SIDE) wrong("size") } else null,
                crop ?: if (resizes && shortest == null) sides("size") else wrong("crop_size"),
                resampling,
                shape.last(),
            )
            if (shape.size != 4 || !processor.shape.contentEquals(shape.copyOfRange(1, 4)) || shape.last() !in listOf(1, 3)) {
                throw KzooException(
                    "$source makes pictures of ${processor.shape.joinToString(" x ")}; the model reads " +
                        "${shape.drop(1).joinToString(" x ")}: export anew.",
                )
            }
            return processor
        }

        private const val MOST_SIDE = 1 shl 14
    }
}
