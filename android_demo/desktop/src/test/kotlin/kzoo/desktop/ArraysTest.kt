package kzoo.desktop

import java.io.File
import kzoo.core.audio.Sound
import kzoo.core.task.AudioClassifier
import kzoo.core.task.BundleCheck
import kzoo.core.task.ImageClassifier
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.io.TempDir

/** Bundles of pictures and sounds; what they answer, PythonTest holds against Python. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ArraysTest {
    private val small = File(System.getProperty("small"))

    @BeforeAll
    fun needed() = assumeTrue(File(small, "pictures").isDirectory, "$small lacks pictures: python android_demo/tools/make_small.py makes them")

    @Test
    fun `files that are no pictures are one sentence`() {
        openTask(File(small, "pictures")).use { task ->
            task as ImageClassifier
            fun refused(name: String, bytes: ByteArray, vararg parts: String) = assertSentence(name, *parts) { task.json(bytes, name) }
            val jpeg = File(small, "files/held_sideways.jpg").readBytes()
            val png = File(small, "files/whole.png").readBytes()
            refused("empty.png", ByteArray(0), "is empty; expected a picture")
            refused("words.png", "no picture".toByteArray(), "no picture of a format that is known")
            refused("cut.png", png.copyOf(png.size / 2), "can't be read whole", "fetch it again")
            refused("cut.jpg", jpeg.copyOf(jpeg.size / 2), "can't be read whole", "fetch it again")
            // A header that speaks of 100,000 by 100,000 pixels.
            val bomb = png.copyOf()
            for (side in listOf(16, 20)) byteArrayOf(0, 1, -122, -96).copyInto(bomb, side)
            refused("bomb.png", bomb, "134,217,728 pixels")
        }
    }

    @Test
    fun `a golden picture that was changed fails, as does another processor`(@TempDir folder: File) {
        val bundle = File(folder, "b")
        fun failed(change: () -> Unit): List<String> {
            bundle.deleteRecursively()
            File(small, "pictures").copyRecursively(bundle)
            change()
            RealBundle.reseal(bundle)
            return openTask(bundle).use { task -> BundleCheck.run(task).mapNotNull { it.reason } }
        }
        assertEquals(emptyList<String>(), failed {})
        val other = failed { File(bundle, "golden_01.png").copyTo(File(bundle, "golden_00.png"), overwrite = true) }
        assertEquals(listOf("other numbers once it is resized"), other)
        val config = File(bundle, "preprocessor_config.json")
        assertEquals(12, failed { config.writeText(config.readText().replace("\"resample\": 3", "\"resample\": 2")) }.size)
    }

    @Test
    fun `each part of a long sound is labelled`() {
        openTask(File(small, "words")).use { task ->
            task as AudioClassifier
            val sound = Sound.wav(File(small, "files/long.wav").readBytes(), "long.wav")
            val heard = task.windows(sound)
            assertEquals(listOf(0.0, 0.5, 1.0, 1.5), heard.map { it.start }.dropLast(1))
            assertEquals(2.7, heard.last().end, 1e-9)
            assertEquals(task.classify(sound).scores, heard[0].classification.scores)
        }
    }
}
